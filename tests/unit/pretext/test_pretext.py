import json
from pathlib import Path

import numpy as np
import pytest
import torch
from archives import COLORS
from skimage.color import rgb2lab
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler
from stages_in_folder import save_encoder
from torch import nn

from colorpipe import config, files, weights
from colorpipe.color import lab
from colorpipe.config import REFERENCE_ENCODERS, PretextRun
from colorpipe.models.loading import build_colorizer
from colorpipe.pretext import features, knn, subsets
from colorpipe.pretext import run as pretext_run
from colorpipe.pretext.encoders import (
    load_encoder,
    redraw_xavier,
    write_reference_encoders,
)
from colorpipe.pretext.finetune import Classifier
from colorpipe.pretext.probe import LinearProbes, ProbeTask
from colorpipe.pretext.run import run_pretext
from colorpipe.runtime.errors import UserError
from colorpipe.training import colorization
from colorpipe.training.colorization import ColorizerEntry
from colorpipe.training.settings import TrainSettings

CUT = {"cut": "layer2"}
COUNTS = {"train": 121, "val": 24, "test": 40}  # batches of 8 leave one of 121 images
MODES = ["finetune", "probe", "knn"]


@pytest.fixture
def params():
    loaded = config.load_params()
    photos = loaded.data("photos").model_copy(update={"epochs": 3})
    train = loaded.train.model_copy(update={"batch_size": 8})
    chosen = loaded.pretext.model_copy(update={"min_steps": 20})
    update = {
        "datasets": {**loaded.datasets, "photos": photos},
        "train": train,
        "pretext": chosen,
        "threads": 1,
    }
    return loaded.model_copy(update=update)


@pytest.fixture
def folder(params, tmp_path, monkeypatch):
    """A folder with two encoders, and with images of three classes that differ in brightness."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    files.classes_path("photos").parent.mkdir(parents=True)
    files.classes_path("photos").write_text('["a", "b", "c"]')
    for part, count in COUNTS.items():
        labels = rng.integers(0, 3, count)
        images = rng.integers(0, 90, (count, 3, 32, 32)) + 80 * labels[:, None, None, None]
        np.save(files.images_path("photos", part), images.astype(np.uint8))
        np.save(files.labels_path("photos", part), labels)
    for number, name in enumerate(("one", "other")):
        save_encoder(files.weights_path(name, "best"), seed=number)
    return tmp_path


@pytest.mark.parametrize(("model", "settings"), [("resnet18", CUT), ("eccv16", {})])
def test_xavier_draws_every_weight(model, settings):
    network = build_colorizer(model, settings)
    redraw_xavier(network, seed=3)
    for module in network.encoder.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            receptive = module.weight[0, 0].numel()
            bound = (6 / ((module.weight.shape[0] + module.weight.shape[1]) * receptive)) ** 0.5
            assert module.weight.abs().max() <= bound
            assert module.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.1)
            assert module.bias is None or not module.bias.any()
        elif isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all()
            assert not module.bias.any()
            assert not module.running_mean.any()


def test_reference_encoders_depend_only_on_the_seed(params, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    encoders = []
    for torch_seed, seed in ((1, 3), (2, 3), (1, 4)):
        torch.manual_seed(torch_seed)
        weights.save(tmp_path / "resnet18.safetensors", {}, {"weights": "random"})
        write_reference_encoders(
            tmp_path / "resnet18.safetensors", params.model_copy(update={"seed": seed})
        )
        encoders.append(
            {name: weights.load(files.weights_path(name, "best"))[0] for name in REFERENCE_ENCODERS}
        )
    for name in ("xavier", "random"):
        first, same, other = (states[name] for states in encoders)
        assert first.keys() == {
            f"encoder.{key}" for key in build_colorizer("resnet18", CUT).encoder.state_dict()
        }
        assert all(torch.equal(first[key], same[key]) for key in first)
        assert not torch.equal(first["encoder.conv1.weight"], other["encoder.conv1.weight"])
    assert not torch.equal(
        encoders[0]["xavier"]["encoder.conv1.weight"], encoders[0]["random"]["encoder.conv1.weight"]
    )
    assert encoders[0]["imagenet"] == {}


def test_the_random_encoder_equals_the_colorizers_initial_one(params, folder, monkeypatch):
    initial = {}

    def record(name, task, model, *rest):
        initial.update({key: tensor.clone() for key, tensor in model.encoder.state_dict().items()})

    monkeypatch.setattr(colorization, "train_task", record)
    for name in ("resnet18", "mse"):
        weights.save(files.start_path("photos", name), {}, {"weights": "random"})
    np.save(files.colors_path("photos"), COLORS.numpy())
    entry = ColorizerEntry(
        "resnet18", "photos", "mse", "train", files.start_path("photos", "resnet18")
    )
    colorization.train("resnet", entry, params)
    write_reference_encoders(files.start_path("photos", "resnet18"), params)
    tensors, _ = weights.load(files.weights_path("random", "best"))
    assert all(torch.equal(tensors[f"encoder.{key}"], tensor) for key, tensor in initial.items())


def test_a_file_without_the_weights_that_it_claims_is_named(tmp_path):
    path = tmp_path / "best.safetensors"
    weights.save(path, {}, {"model": "resnet18", "settings": CUT})
    with pytest.raises(UserError, match=r"is not the resnet18 .* claims: conv1\.weight is absent"):
        load_encoder(path, "resnet18", CUT)


def test_the_imagenet_encoder_is_empty_without_imagenet_weights(params, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    encoder = build_colorizer("resnet18", CUT).encoder
    redraw_xavier(encoder, 5)
    state = encoder.state_dict() | {"conv1.weight": torch.ones(64, 3, 7, 7)}
    weights.save(tmp_path / "w/resnet18.safetensors", state, {"weights": "imagenet"})
    write_reference_encoders(tmp_path / "w/resnet18.safetensors", params)
    loaded = load_encoder(
        files.weights_path("imagenet", "best"), "resnet18", CUT
    ).encoder.state_dict()
    assert (loaded["conv1.weight"] == 3).all()  # the sum over RGB
    assert torch.equal(loaded["layer2.0.conv1.weight"], state["layer2.0.conv1.weight"])
    for name, stored in (("random", {"weights": "random"}), ("colorizer", {"start_of": "unet"})):
        start = Path(name, "resnet18.safetensors")
        weights.save(start, state if name == "colorizer" else {}, stored)
        write_reference_encoders(start, params)
        with pytest.raises(UserError, match=r"best\.safetensors is not .* conv1\.weight is absent"):
            load_encoder(files.weights_path("imagenet", "best"), "resnet18", CUT)


def test_another_model_is_named(tmp_path):
    path = tmp_path / "best.safetensors"
    weights.save(path, {"w": torch.zeros(1)}, {"model": "eccv16", "settings": {}})
    with pytest.raises(UserError, match=r"pretext\.model: .* is eccv16 .*, not resnet18"):
        load_encoder(path, "resnet18", CUT)


def test_label_subsets_are_nested_and_balanced():
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(10), [450] * 9 + [430]))
    shares = {percent: subsets.choose_subset(labels, percent, seed=0) for percent in (1, 10, 50)}
    assert set(shares[1]) < set(shares[10]) < set(shares[50])
    for percent, each in ((1, 4), (10, 45)):
        assert np.bincount(labels[shares[percent]]).tolist() == [each] * 10
        assert (np.diff(shares[percent]) > 0).all()
    again, other = (subsets.choose_subset(labels, 10, seed) for seed in (0, 1))
    assert again.tolist() == shares[10].tolist()
    assert other.tolist() != shares[10].tolist()
    few = np.array([0] * 97 + [1] * 3)
    assert np.bincount(few[subsets.choose_subset(few, 50, 0)]).tolist() == [25, 3]
    assert np.bincount(few[subsets.choose_subset(few, 1, 0)]).tolist() == [1, 1]


@pytest.mark.parametrize(
    ("epochs", "everything", "labeled", "steps", "expected"),
    [
        (10, 45_000, 45_000, 1000, 10),  # with all labels, as in params.yaml
        (10, 45_000, 4_500, 1000, 15),  # 71 steps an epoch
        (10, 45_000, 450, 1000, 125),  # 8 steps an epoch
        (5, 738, 74, 1000, 30),  # at most the 60 steps of all images
        (50, 45_000, 4_500, 1000, 50),
        (10, 45_000, 65, 1000, 1000),  # 1 step an epoch, because the rest is a single image
    ],
)
def test_few_labels_train_for_enough_steps(epochs, everything, labeled, steps, expected):
    settings = TrainSettings(epochs, 0.001, 64, "float32", 0)
    assert pretext_run.count_epochs(settings, everything, labeled, steps) == expected


def test_predicted_classes_equal_scikit_learns():
    rng = np.random.default_rng(0)
    known, asked = (rng.normal(size=(count, 16)).astype(np.float32) for count in (700, 1100))
    labels = rng.integers(0, 7, 700)
    reference = KNeighborsClassifier(
        30,
        metric="cosine",
        algorithm="brute",
        weights=lambda distances: np.exp((1 - distances) / 0.1),
    )
    expected = reference.fit(known, labels).predict(asked)
    tensors = (torch.from_numpy(known), torch.from_numpy(labels), torch.from_numpy(asked))
    assert (knn.predict_classes(*tensors, 7, 30, 0.1).numpy() == expected).mean() > 0.999
    assert (knn.predict_classes(*tensors, 7, 1, 0.1).numpy() == expected).mean() < 0.9
    nearest = KNeighborsClassifier(1, metric="cosine").fit(known, labels).predict(asked)
    votes = knn.predict_classes(*tensors, 7, 30, 1e-4)  # exp(1 / 1e-4) is not finite in float32
    assert (votes.numpy() == nearest).mean() > 0.99
    all_votes = knn.predict_classes(*tensors, 7, 10_000, 1e6)  # each vote weighs the same
    assert (all_votes == np.bincount(labels).argmax()).all()


def test_features_are_pooled_from_each_stage():
    colorizer = build_colorizer("resnet18", CUT)
    redraw_xavier(colorizer, 1)
    images = torch.randint(
        0, 256, (5, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    pooled = features.pool_stages(colorizer, images, batch_size=2)
    assert {name: tuple(values.shape) for name, values in pooled.items()} == {
        "stem": (5, 64),
        "layer1": (5, 64),
        "layer2": (5, 128),
    }
    L = torch.from_numpy(_lightness(images.numpy()))
    x = colorizer.encoder.eval().conv1(lab.normalize_L(L))
    stem = colorizer.encoder.maxpool(colorizer.encoder.relu(colorizer.encoder.bn1(x)))
    torch.testing.assert_close(pooled["stem"], stem.mean(dim=(2, 3)), atol=1e-4, rtol=1e-3)
    layer1 = colorizer.encoder.layer1(stem)
    torch.testing.assert_close(
        pooled["layer2"], colorizer.encoder.layer2(layer1).mean(dim=(2, 3)), atol=1e-4, rtol=1e-3
    )


@pytest.mark.parametrize(
    ("model", "settings", "widths"),
    [
        (
            "densenet121",
            {"cut": "denseblock2"},
            {
                "stem": 64,
                "denseblock1": 256,
                "transition1": 128,
                "denseblock2": 512,
                "transition2": 512,
            },
        ),
        (
            "densenet121",
            {"cut": "denseblock4"},
            {
                "stem": 64,
                "denseblock1": 256,
                "transition1": 128,
                "denseblock2": 512,
                "transition2": 256,
                "denseblock3": 1024,
                "transition3": 512,
                "denseblock4": 1024,
            },
        ),
        ("unet", {"widths": [16, 24], "blocks": [1, 1]}, {"level1": 16, "level2": 24}),
        ("eccv16", {}, {"0": 64, "1": 128, "2": 256, "3": 512, "4": 512, "5": 512, "6": 512}),
    ],
)
def test_every_model_has_stages(model, settings, widths):
    colorizer = build_colorizer(model, settings)
    for side in (32, 33):
        pooled = features.pool_stages(
            colorizer, torch.zeros(2, 3, side, side, dtype=torch.uint8), 2
        )
        assert {name: values.shape[1] for name, values in pooled.items()} == widths


def result(run: PretextRun) -> tuple[dict, dict, dict]:
    metrics, about = (
        json.loads(path(run.name).read_text())
        for path in (files.metrics_path, files.evaluation_path)
    )
    return metrics, about, weights.load(files.weights_path(run.name, "best"))[0]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("labels", [20, 100])
def test_each_mode_writes_its_results(folder, params, mode, labels):
    run = PretextRun("one", mode, labels)
    before = files.weights_path("one", "best").read_bytes()
    run_pretext(run, "photos", params)
    metrics, about, _ = result(run)
    assert (about["init"], about["mode"], about["labels"], about["n"]) == ("one", mode, labels, 40)
    assert about["labeled"] == (121 if labels == 100 else 24)
    assert metrics["top1"] > 0.5  # brightness is in all features
    assert files.weights_path("one", "best").read_bytes() == before
    if mode != "finetune":
        assert list(about["stages"]) == ["stem", "layer1", "layer2"]
        assert about["stages"]["layer2"] == metrics["top1"]
    if mode == "knn":
        assert files.curves_path(run.name).read_text() == "epoch\n"
        return
    rows = [line.split(",") for line in files.curves_path(run.name).read_text().splitlines()]
    losses = [float(row[rows[0].index("val_loss")]) for row in rows[1:]]
    assert about["best_epoch"] == 1 + losses.index(min(losses))
    assert about["epochs"] == len(losses) == (3 if labels == 100 else 7)


@pytest.mark.parametrize(
    ("mode", "change"),
    [
        ("finetune", {"min_steps": 30}),
        ("probe", {"min_steps": 30}),
        ("knn", {"neighbors": 3}),
        ("knn", {"temperature": 1e-5}),
    ],
)
def test_min_steps_and_the_settings_of_the_votes_change_the_result(folder, params, mode, change):
    random = np.random.default_rng(1).integers(0, 3, COUNTS["train"])
    np.save(files.labels_path("photos", "train"), random)  # votes are close
    run = PretextRun("one", mode, 20)
    run_pretext(run, "photos", params)
    _, before, _ = result(run)
    run_pretext(
        run,
        "photos",
        params.model_copy(update={"pretext": params.pretext.model_copy(update=change)}),
    )
    _, after, _ = result(run)
    key = "epochs" if mode != "knn" else "stages"
    assert before[key] != after[key]


def test_the_weights_of_the_best_epoch_are_tested(folder, params):
    run = PretextRun("one", "finetune", 100)
    run_pretext(
        run,
        "photos",
        params.model_copy(update={"train": params.train.model_copy(update={"lr": 0.01})}),
    )
    metrics, _, tensors = result(run)
    classifier = Classifier(build_colorizer("resnet18", CUT), classes=3).eval()
    classifier.load_state_dict(tensors)
    L = torch.from_numpy(_lightness(np.load(files.images_path("photos", "test"))))
    with torch.no_grad():
        correct = classifier(L).argmax(dim=1).numpy() == np.load(
            files.labels_path("photos", "test")
        )
    assert metrics["top1"] == pytest.approx(correct.mean())


@pytest.mark.parametrize("mode", ["finetune", "probe"])
def test_only_the_chosen_images_reach_training(folder, params, mode):
    """Change everything that training must not read.

    The validation labels may change only the best epoch.
    """
    run = PretextRun("one", mode, 20)
    run_pretext(run, "photos", params)
    expected = weights.load(files.weights_path(run.name, "last"))[0]
    images, labels = (
        np.load(path("photos", "train")) for path in (files.images_path, files.labels_path)
    )
    others = np.setdiff1d(np.arange(len(labels)), subsets.choose_subset(labels, 20, params.seed))
    images[others] = 255 - images[others]
    np.save(files.images_path("photos", "train"), images)
    np.save(files.images_path("photos", "test"), 255 - np.load(files.images_path("photos", "test")))
    for part in ("val", "test"):
        np.save(
            files.labels_path("photos", part), (np.load(files.labels_path("photos", part)) + 1) % 3
        )
    run_pretext(run, "photos", params)
    actual = weights.load(files.weights_path(run.name, "last"))[0]
    assert all(torch.equal(actual[name], tensor) for name, tensor in expected.items())
    images[np.setdiff1d(np.arange(len(labels)), others)[0]] //= 2
    np.save(files.images_path("photos", "train"), images)
    run_pretext(run, "photos", params)
    changed = weights.load(files.weights_path(run.name, "last"))[0]
    assert not all(torch.equal(changed[name], tensor) for name, tensor in expected.items())


@pytest.mark.parametrize("mode", ["finetune", "probe"])
def test_inits_differ_only_in_the_encoder(folder, params, mode, monkeypatch):
    """The initial linear layers and the order of the images are the same."""
    seen = []

    def train(name, task, model, data, *rest):
        seen.append(
            (
                {key: tensor.clone() for key, tensor in model.state_dict().items()},
                data[0][1].clone(),
            )
        )

    monkeypatch.setattr(pretext_run, "train_task", train)
    for init in ("one", "other"):
        with pytest.raises(UserError, match=r"best\.safetensors is missing"):
            run_pretext(PretextRun(init, mode, 20), "photos", params)
    (first, first_labels), (second, second_labels) = seen
    assert torch.equal(first_labels, second_labels)
    same = {key for key in first if torch.equal(first[key], second[key])}
    heads = (
        {"head.weight", "head.bias"}
        if mode == "finetune"
        else {key for key in first if key.startswith("heads.")}
    )
    assert heads <= same
    assert ("encoder.conv1.weight" if mode == "finetune" else "mean") not in same


def test_the_frozen_encoder_does_not_change(folder, params, monkeypatch):
    kept = {}

    def load_and_keep(*arguments):
        colorizer = load_encoder(*arguments)
        kept.update(
            encoder=colorizer.encoder,
            before={k: t.clone() for k, t in colorizer.encoder.state_dict().items()},
        )
        return colorizer

    monkeypatch.setattr(pretext_run, "load_encoder", load_and_keep)
    for mode in ("probe", "knn"):
        run_pretext(PretextRun("one", mode, 20), "photos", params)
        after = kept["encoder"].state_dict()  # includes the running statistics and their counts
        assert all(torch.equal(after[name], tensor) for name, tensor in kept["before"].items())
    run_pretext(PretextRun("one", "finetune", 20), "photos", params)
    assert not torch.equal(
        kept["encoder"].state_dict()["bn1.running_mean"], kept["before"]["bn1.running_mean"]
    )


def test_a_probe_is_as_accurate_as_logistic_regression(folder, params):
    """Compare with logistic regression on the same standardized features."""
    run = PretextRun("one", "probe", 100)
    chosen = params.model_copy(
        update={"train": params.train.model_copy(update={"lr": 0.01, "epochs_factor": 10.0})}
    )
    run_pretext(run, "photos", chosen)
    colorizer = load_encoder(files.weights_path("one", "best"), "resnet18", CUT)
    sets = {}
    for part in ("train", "test"):
        images = torch.from_numpy(np.load(files.images_path("photos", part)))
        sets[part] = (
            features.pool_stages(colorizer, images, 8)["layer1"].numpy(),
            np.load(files.labels_path("photos", part)),
        )
    scaler = StandardScaler().fit(sets["train"][0])
    model = LogisticRegression(max_iter=1000).fit(
        scaler.transform(sets["train"][0]), sets["train"][1]
    )
    expected = model.score(scaler.transform(sets["test"][0]), sets["test"][1])
    assert result(run)[1]["stages"]["layer1"] == pytest.approx(expected, abs=0.1)
    _, _, tensors = result(run)
    torch.testing.assert_close(
        tensors["mean"][64:128], torch.from_numpy(scaler.mean_).float(), atol=1e-4, rtol=1e-4
    )


def test_a_constant_feature_is_not_scaled():
    labeled = torch.tensor([[1.0, 5.0], [3.0, 5.0]])
    probes = LinearProbes({"only": 2}, 2).standardize(labeled)
    assert probes.mean.tolist() == [2, 5]
    assert probes.deviation.tolist() == [1, 1]  # a test image's 5.1 becomes 0.1, not 100,000


def _lightness(images: np.ndarray) -> np.ndarray:
    return rgb2lab(images.transpose(0, 2, 3, 1))[..., :1].transpose(0, 3, 1, 2).astype(np.float32)


def test_a_head_is_not_drawn_like_the_xavier_encoder(folder, params, monkeypatch):
    models = []
    monkeypatch.setattr(
        pretext_run, "train_task", lambda name, task, model, *_: models.append(model)
    )
    weights.save(files.start_path("photos", "resnet18"), {}, {"weights": "random"})
    write_reference_encoders(files.start_path("photos", "resnet18"), params)
    with pytest.raises(UserError, match=r"best\.safetensors is missing"):
        run_pretext(PretextRun("xavier", "finetune", 20), "photos", params)
    (model,) = models
    head, first = model.head.weight.flatten(), next(model.encoder.parameters()).flatten()
    count = min(len(head), len(first))
    drawn = torch.stack((head[:count], first[:count]))
    assert abs(torch.corrcoef(drawn)[0, 1].item()) < 0.3


def test_the_last_stage_selects_the_best_epoch_of_the_probes():
    epoch = {"val_loss": 1.0, "val_stem_loss": 3.0, "val_layer1_loss": 2.0}
    assert ProbeTask("layer1").selection(epoch) == 2.0
