import shutil

import pytest
import yaml
from dvc.utils.serialize import parse_yaml
from project import ROOT

from colorpipe import config
from colorpipe.runtime.errors import UserError
from colorpipe.runtime.process import run_main
from stages import check

# A key of params.yaml, a wrong value for it, and the beginning of the message.
WRONG = [
    ("seed", -1, "seed: input should be greater than or equal to 0, got -1"),
    ("seed", "zero", "seed: input should be a valid integer, got 'zero'"),
    ("seed", 1.5, "seed: input should be a valid integer, got 1.5"),
    ("seed", True, "seed: input should be a valid integer, got True"),
    ("seed", 2**32, "seed: input should be less than 4294967296, got 4294967296"),
    ("seed", float("inf"), "seed: input should be a valid integer, got inf"),
    ("seed", "x" * 10_000, f"seed: input should be a valid integer, got '{79 * 'x'}..."),
    ("threads", 0, "threads: input should be greater than or equal to 1, got 0"),
    (
        "threads",
        10**300,
        f"threads: input should be less than or equal to 1024, got 1{79 * '0'}...",
    ),
    ("datasets.photos.toned", True, "datasets.photos.toned: only the data set folder has it"),
    (
        "imagenet.resnet19",
        {"source": "w.pth", "sha256": "0123456789abcdef"},
        "imagenet: input should be 'resnet18', ",
    ),
    ("datasets", {}, "datasets: dictionary should have at least 1 item after validation, not 0"),
    (
        "models.timm_unet.encoder",
        "resnet18.none",
        "models.timm_unet.encoder: input should be the name of a model in timm, got "
        "'resnet18.none'",
    ),
    ("processes", "auto", "processes: input should be a valid integer, got 'auto'"),
    ("processes", 0, "processes: input should be greater than or equal to 1, got 0"),
    ("processes", 33, "processes: input should be at most 32, because BatchNorm needs two images"),
    (
        "loss",
        "lipps",
        "loss: input should be 'mse', 'l1', 'lpips'",
    ),
    ("loss", "", "loss: string should have at least 1 character, got ''"),
    ("loss", ["mse"], "loss: input should be a valid string, got ['mse']"),
    (
        "dataset",
        "cifr10",
        "dataset: input should be 'photos', 'photos96', 'cifar10', 'stl10' or 'folder', got",
    ),
    ("dataset", "Photos", "dataset: input should be 'photos', "),
    ("large_dataset", None, "large_dataset: input should be a valid string, got None"),
    ("large_dataset", "stl", "large_dataset: input should be 'photos', "),
    ("trian", {}, "trian: extra inputs are not permitted, got {}"),
    ("a\nb", 1, r"a\nb: extra inputs are not permitted, got 1"),
    (
        "train",
        None,
        "train: input should be a valid dictionary or instance of TrainConfig, got None",
    ),
    ("train.lr", 0, "train.lr: input should be greater than 0, got 0"),
    ("train.lr", -0.1, "train.lr: input should be greater than 0, got -0.1"),
    ("train.lr", 1.5, "train.lr: input should be less than or equal to 1, got 1.5"),
    ("train.lr", float("nan"), "train.lr: input should be a finite number, got nan"),
    ("train.lr", float("-inf"), "train.lr: input should be a finite number, got -inf"),
    ("train.lr", "fast", "train.lr: input should be a valid number, got 'fast'"),
    ("train.ema", 1.0, "train.ema: input should be less than 1, got 1.0"),
    ("train.batch_size", 1, "train.batch_size: input should be greater than or equal to 2, got 1"),
    (
        "train.batch_size",
        10**9,
        "train.batch_size: input should be less than or equal to 65536, got",
    ),
    ("train.batch_size", 64.0, "train.batch_size: input should be a valid integer, got 64.0"),
    ("train.batchsize", 64, "train.batchsize: extra inputs are not permitted, got 64"),
    ("train.flips", "yes", "train.flips: input should be a valid boolean, got 'yes'"),
    ("train.precision", "float16", "train.precision: input should be 'bfloat16' or 'float32', got"),
    ("train.compile", "yes", "train.compile: input should be a valid boolean, got 'yes'"),
    (
        "recipes.refined.optimizer",
        "sgd",
        "recipes.refined.optimizer: input should be 'adam' or 'adamw'",
    ),
    (
        "recipes.refined.momentum",
        0.9,
        "recipes.refined.momentum: extra inputs are not permitted, got",
    ),
    (
        "recipes.refined.schedule",
        "step",
        "recipes.refined.schedule: input should be 'constant', 'one_cycle' or 'cosine', got 'step'",
    ),
    (
        "models.resnet18",
        "layer2",
        "models.resnet18: input should be a valid dictionary, got 'layer2'",
    ),
    ("models.resnet18.cut", "layer5", "models.resnet18.cut: input should be 'layer1', 'layer2', "),
    (
        "models.resnet50",
        {"cut": "layer2"},
        "models.'resnet50': colorpipe/models/resnet50.py is missing",
    ),
    ("models.eccv16.bins", 1, "models.eccv16.bins: extra inputs are not permitted, got 1"),
    (
        "models.unet.blocks",
        [1],
        "models.unet.blocks: input should have as many numbers as widths, got",
    ),
    (
        "models.unet.widths",
        [4, 8, 8],
        "models.unet.widths.0: input should be greater than or equal to 8",
    ),
    ("losses.l3", {}, "losses.'l3': colorpipe/losses/l3.py is missing"),
    (
        "losses.lpips.random_seed",
        -1,
        "losses.lpips.random_seed: input should be greater than or equal",
    ),
    (
        "losses.color_classification.uniform_share",
        0,
        "losses.color_classification.uniform_share: input should be greater than 0, got 0",
    ),
    (
        "losses.color_classification.neighbors",
        314,
        "losses.color_classification.neighbors: input should be less than or equal to 313, got 314",
    ),
    (
        "recipes.adversarial.adversarial.max_relative_mse",
        0,
        "recipes.adversarial.adversarial.max_relative_mse: input should be greater than 0, got",
    ),
    (
        "recipes.adversarial.adversarial",
        {"max_relative_mse": 1.0},
        "recipes.adversarial.adversarial.discriminator_lr: field required; ",
    ),
    ("tasks", {}, "tasks: extra inputs are not permitted, got {}"),
    ("evaluation.alpha", 1.5, "evaluation.alpha: input should be less than or equal to 1, got 1.5"),
    ("evaluation.alphas", [-0.1], "evaluation.alphas.0: input should be greater than or equal to"),
    ("evaluation.temperature", 0, "evaluation.temperature: input should be greater than 0, got 0"),
    ("evaluation.temperatures", [], "evaluation.temperatures: list should have at least 1 item"),
    ("datasets.imagenet", {}, "datasets.imagenet.source: field required; "),
    (
        "datasets.photos.source",
        None,
        "datasets.photos.source: input should be a valid string, got None",
    ),
    (
        "datasets.photos.source",
        "",
        "datasets.photos.source: string should have at least 1 character",
    ),
    ("datasets.photos.md5", 5, "datasets.photos.md5: input should be a valid string, got 5"),
    (
        "datasets.cifar10.md5",
        "C58F",
        "datasets.cifar10.md5: string should match pattern '^([0-9a-f]{32})?$', got 'C58F'",
    ),
    (
        "datasets.photos.size",
        8,
        "datasets.photos.size: input should be greater than or equal to 16",
    ),
    (
        "datasets.photos.val_size",
        0,
        "datasets.photos.val_size: input should be a whole number of images, or a fraction "
        "below 0.5",
    ),
    (
        "datasets.photos.val_size",
        1.5,
        "datasets.photos.val_size: input should be a whole number of images, or a fraction "
        "below 0.5",
    ),
    (
        "datasets.folder.val_size",
        0.5,
        "datasets.folder.val_size: input should be a whole number of images, or a fraction "
        "below 0.5",
    ),
    (
        "datasets.photos.epochs",
        10**6,
        "datasets.photos.epochs: input should be less than or equal to",
    ),
    (
        "datasets.cifar10.epochs",
        "50",
        "datasets.cifar10.epochs: input should be a valid integer, got",
    ),
    (
        "datasets.cifar10.start",
        True,
        "datasets.cifar10.start: input should be a valid string, got True",
    ),
    ("datasets.cifar10.start", "", "datasets.cifar10.start: string should have at least 1 char"),
    (
        "datasets.cifar10.pretrained",
        True,
        "datasets.cifar10.pretrained: extra inputs are not permitted, got True",
    ),
    (
        "datasets.stl10.lpips_weights",
        "vgg",
        "datasets.stl10.lpips_weights: input should be 'imagenet' or 'random', got 'vgg'",
    ),
    (
        "imagenet.vgg19",
        {},
        "imagenet.vgg19.source: field required; params.yaml: imagenet.vgg19.sha256",
    ),
    (
        "imagenet.lpips.sha256",
        "39",
        "imagenet.lpips.sha256: string should match pattern '^[0-9a-f]{8,64}$', got '39'",
    ),
    (
        "pretext.model",
        "renset",
        "pretext.model: input should be 'resnet18', 'densenet121', 'eccv16', 'unet' or "
        "'timm_unet', got",
    ),
    (
        "pretext.inits",
        [],
        "pretext.inits: list should have at least 1 item after validation, not 0",
    ),
    ("pretext.inits", ["renset"], "pretext.inits: input should be 'resnet', 'resnet_lpips', "),
    (
        "pretext.inits",
        ["xavier", "eccv"],
        "pretext.inits: input should be 'resnet', 'resnet_lpips', 'resnet_large', 'xavier', "
        "'random' or 'imagenet', got 'eccv'",
    ),
    (
        "pretext.inits",
        ["imagenet"],
        "pretext.inits: imagenet needs ImageNet weights: set datasets.photos.start to imagenet, "
        "with weights of resnet18 in the section imagenet, or leave imagenet out",
    ),
    ("models.timm_unet.widths", [160, 96], "models.timm_unet.widths: tf_efficientnet_lite0 has "),
    (
        "pretext.modes",
        ["tune"],
        "pretext.modes.0: input should be 'finetune', 'probe' or 'knn', got 'tune'",
    ),
    (
        "pretext.labels",
        [10, 10],
        "pretext.labels: input should name each value only once, got [10, 10]",
    ),
    ("pretext.labels", [0.5], "pretext.labels.0: input should be a valid integer, got 0.5"),
    (
        "pretext.labels",
        [101],
        "pretext.labels.0: input should be less than or equal to 100, got 101",
    ),
]


def write(tmp_path, content):
    path = tmp_path / "params.yaml"
    path.write_text(
        content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False)
    )
    return path


@pytest.fixture
def content():
    return yaml.safe_load((ROOT / "params.yaml").read_text())


def check_stage(folder, monkeypatch) -> str:
    """Return the error of the check stage for the params.yaml in a folder."""
    shutil.copy(ROOT / "dvc.yaml", folder)
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit) as raised:
        run_main(check.main)
    assert not (folder / "data").exists()
    assert len(raised.value.code) < 4000
    assert "\n" not in raised.value.code
    return raised.value.code


@pytest.mark.parametrize(
    ("key", "value", "message"), WRONG, ids=[f"{key}={value!r:.20}" for key, value, _ in WRONG]
)
def test_a_wrong_value_is_named_in_one_line(tmp_path, monkeypatch, content, key, value, message):
    *sections, last = key.split(".")
    section = content
    for name in sections:
        section = section[name]
    section[last] = value
    write(tmp_path, content)
    assert check_stage(tmp_path, monkeypatch).startswith(f"error: params.yaml: {message}")


@pytest.mark.parametrize("key", ["train.lr", "recipes.refined.flips"])
def test_a_missing_key_is_named(tmp_path, content, key):
    *sections, last = key.split(".")
    section = content
    for name in sections:
        section = section[name]
    del section[last]
    with pytest.raises(UserError, match=rf"^\S+params\.yaml: {key}: field required$"):
        config.load_params(write(tmp_path, content))


def test_a_misspelled_key_comes_before_the_key_that_is_missing(tmp_path, content):
    content["train"]["learning_rate"] = content["train"].pop("lr")
    message = (
        r"train\.learning_rate: extra inputs are not permitted, got 0\.001; .*train\.lr: field"
    )
    with pytest.raises(UserError, match=message):
        config.load_params(write(tmp_path, content))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no parameters"),
        ("- 1", "holds no parameters"),
        ("seed: 0\nseed: 1", 'line 2: found duplicate key "seed"'),
        ("seed: [", "is not valid YAML"),
        ("seed:\t0\n\tloss: mse", "is not valid YAML"),
        ("1: 2", "params.yaml: 1: keys should be strings, got 1; "),
        ("train: {lr: 1, lr: 2}", 'line 1: found duplicate key "lr"'),
        ("seed: " + "9" * 5000, "is not valid YAML: Exceeds the limit"),
        ("seed: 2026-13-45", "is not valid YAML: month must be in 1..12"),
        (
            "seed: !!python/object/apply:os.mkdir [harm]",
            "line 1: could not determine a constructor",
        ),
        ("[" * 5000, "is nested too deeply"),
        ("seed: \0", "is not valid YAML"),
        ("seed: &a [*a]", "seed: input should be a valid integer, got [[["),
        ("? [1, 2]\n: 3", "params.yaml: (1, 2): keys should be strings, got (1, 2); "),
        ('"\\ud800": 1', "input should be a valid string, unable to parse raw data"),
        ("seed: !!timestamp x", "is not valid YAML"),
        ("train: {compile: !!bool x}", "is not valid YAML"),
        ("seed: !!int ''", "is not valid YAML"),
        (
            "".join(f"x{n}: &x{n} [{f'*x{n - 1},' * 9 if n else 1}]\n" for n in range(10)),
            "params.yaml: x9: extra inputs are not permitted, got [[",
        ),
        ("seed: 1\n  loss: mse", "is not valid YAML"),
        ("seed: *missing", "found undefined alias"),
        ("seed: 0\n---\nseed: 1", "is not valid YAML"),
        ("just words", "holds no parameters"),
    ],
)
def test_a_file_without_parameters_is_reported_in_one_line(tmp_path, monkeypatch, text, message):
    write(tmp_path, text)
    assert message in check_stage(tmp_path, monkeypatch)
    assert not (tmp_path / "harm").exists()


def test_a_file_that_is_not_text_is_reported_in_one_line(tmp_path, monkeypatch):
    (tmp_path / "params.yaml").write_bytes(b"seed: \xff\xfe")
    assert "is not valid YAML: 'utf-8' codec can't decode" in check_stage(tmp_path, monkeypatch)
    (tmp_path / "params.yaml").unlink()
    (tmp_path / "params.yaml").mkdir()
    assert (
        check_stage(tmp_path, monkeypatch)
        == "error: params.yaml: Is a directory; fix that and run the command again"
    )


def test_a_missing_file_says_where_to_run(tmp_path):
    with pytest.raises(UserError, match="run from the project's root"):
        config.load_params(tmp_path / "params.yaml")


@pytest.mark.parametrize(
    "number", ["1e-05", "3e-4", "0.0003", "1", "010", "1:04", "1_000", "0o10", "no", "!!int '5'"]
)
def test_a_value_is_read_as_dvc_reads_it(tmp_path, number):
    text = f"seed: {number}"
    assert config.parse_yaml(text) == parse_yaml(text, "params.yaml")
    if number.startswith(("1e", "3e")):
        assert config.parse_yaml(text)["seed"] == float(number)


def test_each_parameter_in_params_yaml_has_a_comment():
    lines = (ROOT / "params.yaml").read_text().splitlines()
    parameters = [
        line for line in lines if line and not line.lstrip().startswith("#") and line[-1] != ":"
    ]
    assert len(parameters) > 50
    assert [line for line in parameters if "  # " not in line] == []
