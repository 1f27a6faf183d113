from pathlib import Path

import pytest
import yaml

from colorpipe import params
from colorpipe.errors import UserError

ROOT = Path(__file__).parents[1]

WRONG = [
    (("seed",), -1, "seed: should be greater than or equal to 0"),
    (("seed",), "zero", "seed: should be a whole number"),
    (("seed",), 1.5, "seed: should be a whole number"),
    (("seed",), True, "seed: should be a whole number"),
    (("loss",), "lipps", "loss: should be 'mse' or 'lpips', not 'lipps'"),
    (("dataset",), "cifr10", "dataset: should be 'photos', 'photos96', 'cifar10', 'stl10' or 'folder'"),
    (("large_dataset",), None, "large_dataset: should be"),
    (("trian",), {}, "trian: unknown key; allowed here: seed, threads"),
    (("train", "lr"), 0, "train.lr: should be greater than 0"),
    (("train", "lr"), float("nan"), "train.lr: should be a finite number"),
    (("train", "lr"), "fast", "train.lr: should be a valid number"),
    (("train", "batch_size"), 0, "train.batch_size: should be greater than or equal to 1"),
    (("train", "batchsize"), 64, "train.batchsize: unknown key; allowed here: lr, batch_size, precision, compile"),
    (("train", "precision"), "float16", "train.precision: should be 'bfloat16' or 'float32'"),
    (("models", "resnet18", "cut"), "layer5", "models.resnet18.cut: should be 'layer1'"),
    (("datasets", "cifar10", "md5"), "C58F", "datasets.cifar10.md5: should be an md5 of 32 lowercase hexadecimal digits"),
    (("datasets", "cifar10", "epochs"), "50", "datasets.cifar10.epochs: should be a whole number"),
    (("datasets", "cifar10", "pretrained"), "no", "datasets.cifar10.pretrained: should be a valid boolean"),
    (("datasets", "stl10", "lpips_weights"), "vgg", "datasets.stl10.lpips_weights: should be 'imagenet' or 'random'"),
    (("datasets", "imagenet"), {}, "datasets.imagenet: unknown key; allowed here: photos, photos96, cifar10, stl10"),
    (("imagenet", "vgg16", "sha256"), "39", "imagenet.vgg16.sha256: should be a sha256"),
    (("pretext", "model"), "renset", "pretext.model: should be"),
    (("train",), None, "train: should be a section with the keys lr, batch_size, precision, compile"),
]


def write(tmp_path, content):
    path = tmp_path / "params.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


@pytest.fixture
def content():
    return yaml.safe_load((ROOT / "params.yaml").read_text())


@pytest.mark.parametrize(("keys", "value", "message"), WRONG, ids=[".".join(keys) for keys, _, _ in WRONG])
def test_a_wrong_value_is_named_in_one_line(tmp_path, content, keys, value, message):
    inner = content
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    with pytest.raises(UserError) as raised:
        params.load(write(tmp_path, content))
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_key_is_named(tmp_path, content):
    del content["train"]["lr"]
    with pytest.raises(UserError, match=r"train\.lr: missing"):
        params.load(write(tmp_path, content))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no parameters"),
        ("- 1", "holds no parameters"),
        ("seed: 0\nseed: 1", "key 'seed' stands twice"),
        ("seed: [", "is not valid YAML"),
        ("seed:\t0\n\tloss: mse", "is not valid YAML"),
        ("1: 2", "key 1 is no name"),
    ],
)
def test_what_is_no_yaml_of_parameters_is_said_in_one_line(tmp_path, text, message):
    with pytest.raises(UserError, match=message) as raised:
        params.load(write(tmp_path, text))
    assert "\n" not in str(raised.value)


def test_no_file(tmp_path):
    with pytest.raises(UserError, match="run from the project's root"):
        params.load(tmp_path / "params.yaml")


@pytest.mark.parametrize("number", ["1e-05", "3e-4", "0.0003", "1"])
def test_numbers_as_dvc_writes_them(tmp_path, number):
    text = (ROOT / "params.yaml").read_text().replace("lr: 0.001", f"lr: {number}")
    assert params.load(write(tmp_path, text)).train.lr == float(number)


def test_every_line_of_params_yaml_says_what_it_means():
    lines = [line for line in (ROOT / "params.yaml").read_text().splitlines() if line and not line.startswith("#")]
    assert [line for line in lines if "  # " not in line] == []
