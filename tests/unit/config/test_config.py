import shutil

import pytest
import yaml
from dvc.utils.serialize import parse_yaml
from project import ROOT

from colorpipe import config
from colorpipe.runtime.errors import UserError
from colorpipe.runtime.process import run_main
from stages import check

WRONG = [
    (("seed",), -1, "seed: should be greater than or equal to 0"),
    (("seed",), "zero", "seed: should be a whole number"),
    (("seed",), 1.5, "seed: should be a whole number"),
    (("seed",), True, "seed: should be a whole number"),
    (("loss",), "lipps", "loss: should be 'mse', 'l1', 'lpips' or 'classification', not 'lipps'"),
    (
        ("dataset",),
        "cifr10",
        "dataset: should be 'photos', 'photos96', 'cifar10', 'stl10' or 'folder'",
    ),
    (("large_dataset",), None, "large_dataset: should be a valid string"),
    (("large_dataset",), "stl", "large_dataset: should be 'photos', "),
    (("trian",), {}, "trian: unknown key; allowed here: seed, threads"),
    (("train", "lr"), 0, "train.lr: should be greater than 0"),
    (("train", "lr"), float("nan"), "train.lr: should be a finite number"),
    (("train", "lr"), "fast", "train.lr: should be a valid number"),
    (("train", "batch_size"), 1, "train.batch_size: should be greater than or equal to 2"),
    (
        ("train", "batchsize"),
        64,
        "train.batchsize: unknown key; allowed here: optimizer, lr, weight_decay, ",
    ),
    (("train", "precision"), "float16", "train.precision: should be 'bfloat16' or 'float32'"),
    (("models", "resnet18", "cut"), "layer5", "models.resnet18.cut: should be 'layer1'"),
    (
        ("datasets", "cifar10", "md5"),
        "C58F",
        "datasets.cifar10.md5: should be an md5 of 32 lowercase hexadecimal digits",
    ),
    (("datasets", "cifar10", "epochs"), "50", "datasets.cifar10.epochs: should be a whole number"),
    (
        ("datasets", "cifar10", "pretrained"),
        "no",
        "datasets.cifar10.pretrained: should be a valid boolean",
    ),
    (
        ("datasets", "stl10", "lpips_weights"),
        "vgg",
        "datasets.stl10.lpips_weights: should be 'imagenet' or 'random'",
    ),
    (("datasets", "imagenet"), {}, "datasets.imagenet.source: missing"),
    (("imagenet", "lpips", "sha256"), "39", "imagenet.lpips.sha256: should be a sha256"),
    (
        ("pretext", "model"),
        "renset",
        "pretext.model: should be 'resnet18', 'densenet121', 'eccv16' or 'unet', not 'renset'",
    ),
    (
        ("processes",),
        "many",
        "processes: should be 'auto' or a whole number from 1 to 1024, not 'many'",
    ),
    (("loss",), "", "loss: should not be empty"),
    (("pretext", "inits"), [], "pretext.inits: should not be empty"),
    (
        ("pretext", "modes"),
        ["tune"],
        "pretext.modes.0: should be 'finetune', 'probe' or 'knn', not 'tune'",
    ),
    (("pretext", "labels"), [10, 10], "pretext.labels: should name each only once, not [10, 10]"),
    (("pretext", "labels"), [0.5], "pretext.labels.0: should be a whole number, not 0.5"),
    (
        ("pretext", "labels"),
        [101],
        "pretext.labels.0: should be less than or equal to 100, not 101",
    ),
    (("train",), None, "train: should be a section with the keys optimizer, lr, weight_decay, "),
    (("seed",), 2**32, "seed: should be less than 4294967296"),
    (("seed",), float("inf"), "seed: should be a whole number, not inf"),
    (("threads",), 0, "threads: should be greater than or equal to 1"),
    (("threads",), 10**300, "threads: should be less than or equal to 1024"),
    (("loss",), ["mse"], "loss: should be a valid string"),
    (("dataset",), "Photos", "dataset: should be 'photos'"),
    (("models", "resnet18"), "layer2", "models.resnet18: should be a section, not 'layer2'"),
    (
        ("models", "resnet50"),
        {"cut": "layer2"},
        "models.'resnet50': no colorpipe/models/resnet50.py",
    ),
    (("models", "eccv16", "bins"), 1, "models.eccv16.bins: unknown key; allowed here: none"),
    (("losses", "l3"), {}, "losses.'l3': no colorpipe/losses/l3.py defines `build`"),
    (
        ("losses", "classification", "rebalancing"),
        0,
        "losses.classification.rebalancing: should be greater than 0",
    ),
    (
        ("losses", "classification", "neighbors"),
        314,
        "losses.classification.neighbors: should be less than or equal to 313",
    ),
    (
        ("recipes", "refined", "optimizer"),
        "sgd",
        "recipes.refined.optimizer: should be 'adam' or 'adamw', not 'sgd'",
    ),
    (
        ("recipes", "refined", "momentum"),
        0.9,
        "recipes.refined.momentum: unknown key; allowed here: optimizer, lr, ",
    ),
    (
        ("recipes", "refined", "schedule"),
        "step",
        "recipes.refined.schedule: should be 'constant', 'one_cycle' or 'cosine'",
    ),
    (("train", "ema"), 1.0, "train.ema: should be less than 1"),
    (
        ("models", "unet", "blocks"),
        [1],
        "models.unet.blocks: should have as many numbers as widths, not [1]",
    ),
    (
        ("models", "unet", "widths"),
        [4, 8, 8],
        "models.unet.widths.0: should be greater than or equal to 8",
    ),
    (("tasks", "adversarial", "max_mse"), 0, "tasks.adversarial.max_mse: should be greater than 0"),
    (("tasks", "gan"), {}, "tasks.'gan': no colorpipe/tasks/gan.py defines `train`"),
    (("evaluation", "temperature"), 0, "evaluation.temperature: should be greater than 0"),
    (("evaluation", "temperatures"), [], "evaluation.temperatures: should not be empty"),
    (("datasets", "photos", "source"), None, "datasets.photos.source: should be a valid string"),
    (("train", "lr"), 1.5, "train.lr: should be less than or equal to 1"),
    (("train", "lr"), float("-inf"), "train.lr: should be"),
    (("train", "batch_size"), 10**9, "train.batch_size: should be less than or equal to 65536"),
    (("train", "batch_size"), 64.0, "train.batch_size: should be a whole number"),
    (("train", "compile"), "yes", "train.compile: should be a valid boolean"),
    (("losses", "lpips", "random_seed"), -1, "losses.lpips.random_seed: should be greater"),
    (
        ("datasets", "photos", "size"),
        8,
        "datasets.photos.size: should be greater than or equal to 16",
    ),
    (
        ("datasets", "photos", "val_size"),
        0,
        "datasets.photos.val_size: should be a whole number of images, or a share",
    ),
    (
        ("datasets", "photos", "val_size"),
        1.5,
        "datasets.photos.val_size: should be a whole number of images, or a share",
    ),
    (
        ("datasets", "folder", "val_size"),
        0.5,
        "datasets.folder.val_size: should be a whole number of images, or a share",
    ),
    (("datasets", "photos", "epochs"), 10**6, "datasets.photos.epochs: should be less than"),
    (("datasets", "photos", "source"), "", "datasets.photos.source: should not be empty"),
    (("datasets", "photos", "md5"), 5, "datasets.photos.md5: should be a valid string"),
    (("imagenet", "vgg19"), {}, "imagenet.vgg19.source: missing"),
    (("pretext", "inits"), ["renset"], "pretext.inits: should be of 'resnet', 'resnet_lpips'"),
    (
        ("pretext", "inits"),
        ["xavier", "eccv"],
        "pretext.inits: should be of 'resnet', 'resnet_lpips'",
    ),
    (("seed",), "x" * 10_000, "seed: should be a whole number"),
    (("a\nb",), 1, r"a\nb: unknown key"),
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
    """The error line of the first stage on the params.yaml in a folder."""
    shutil.copy(ROOT / "dvc.yaml", folder)
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit) as raised:
        run_main(check.main)
    assert not (folder / "data").exists()
    assert len(raised.value.code) < 4000
    assert "\n" not in raised.value.code
    return raised.value.code


@pytest.mark.parametrize(
    ("keys", "value", "message"), WRONG, ids=[repr(".".join(keys)) for keys, _, _ in WRONG]
)
def test_a_wrong_value_is_named_in_one_line(tmp_path, monkeypatch, content, keys, value, message):
    inner = content
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    write(tmp_path, content)
    assert check_stage(tmp_path, monkeypatch).startswith(f"error: params.yaml: {message}")


def test_a_missing_key_is_named(tmp_path, content):
    del content["train"]["lr"]
    with pytest.raises(UserError, match=r"train\.lr: missing"):
        config.load_params(write(tmp_path, content))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no parameters"),
        ("- 1", "holds no parameters"),
        ("seed: 0\nseed: 1", 'line 2: found duplicate key "seed"'),
        ("seed: [", "is not valid YAML"),
        ("seed:\t0\n\tloss: mse", "is not valid YAML"),
        ("1: 2", "params.yaml: 1: is not a parameter's name"),
        ("train: {lr: 1, lr: 2}", 'line 1: found duplicate key "lr"'),
        ("seed: " + "9" * 5000, "is not valid YAML: Exceeds the limit"),
        ("seed: 2026-13-45", "is not valid YAML: month must be in 1..12"),
        (
            "seed: !!python/object/apply:os.mkdir [harm]",
            "line 1: could not determine a constructor",
        ),
        ("[" * 5000, "is nested too deeply"),
        ("seed: \0", "is not valid YAML"),
        ("seed: &a [*a]", "seed: should be a whole number"),
        ("? [1, 2]\n: 3", "is not a parameter's name"),
        ('"\\ud800": 1', "is not a parameter's name"),
        ("seed: !!timestamp x", "is not valid YAML"),
        ("train: {compile: !!bool x}", "is not valid YAML"),
        ("seed: !!int ''", "is not valid YAML"),
        (
            "".join(f"x{n}: &x{n} [{f'*x{n - 1},' * 9 if n else 1}]\n" for n in range(10)),
            "x9: unknown key",
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


def test_bytes_that_are_no_text(tmp_path, monkeypatch):
    (tmp_path / "params.yaml").write_bytes(b"seed: \xff\xfe")
    assert "is not valid YAML: 'utf-8' codec can't decode" in check_stage(tmp_path, monkeypatch)
    (tmp_path / "params.yaml").unlink()
    (tmp_path / "params.yaml").mkdir()
    assert (
        check_stage(tmp_path, monkeypatch)
        == "error: Is a directory: params.yaml; fix that and run the command again"
    )


def test_the_tables_have_at_least_forty_files():
    assert len(WRONG) >= 40


def test_no_file(tmp_path):
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


def test_every_line_of_params_yaml_says_what_it_means():
    lines = [
        line
        for line in (ROOT / "params.yaml").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert [line for line in lines if "  # " not in line] == []
