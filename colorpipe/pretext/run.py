"""One run of the pretext task: an encoder, a mode and a share of the training labels.

There are three modes. "finetune" trains the encoder together with a linear layer, as in the paper.
"probe" trains a linear layer on the frozen features of each stage. "knn" lets the nearest neighbors
vote, on the same features. Within a mode and a label share, only the encoder's initial weights
differ.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import nn

from colorpipe import files, weights
from colorpipe.config import Params, PretextRun
from colorpipe.data import arrays
from colorpipe.inference import prepare_device
from colorpipe.models.colorizer import Colorizer
from colorpipe.pretext import features, knn
from colorpipe.pretext.encoders import load_encoder, redraw_xavier
from colorpipe.pretext.finetune import Classifier, FinetuneTask
from colorpipe.pretext.probe import LinearProbes, ProbeTask
from colorpipe.pretext.subsets import choose_subset
from colorpipe.training import loop
from colorpipe.training.batches import Batch
from colorpipe.training.settings import TrainSettings
from colorpipe.training.task import TrainingTask, train_task

MAX_SEED = 2**32 - 1  # a linear layer uses MAX_SEED - seed, which never equals its encoder's seed


class Setup(NamedTuple):
    """All that a run needs.

    A data set is a pair of images (N, 3, H, W) uint8 and labels (N,). `train` holds only the images
    whose labels are used.
    """

    run: PretextRun
    data: str
    classes: list[str]
    colorizer: Colorizer
    train: Batch
    val: Batch
    test: Batch
    settings: TrainSettings
    params: Params


def run_pretext(run: PretextRun, data: str, params: Params) -> None:
    """Train and test one classifier. Write models/, curves/, metrics/ and evaluations/<run.name>.

    If the data set has fewer than two classes, the files say so.

    Args:
        run: Initial encoder, mode and percentage of the labels.
        data: A data set of params.yaml.
        params: All settings.

    Raises:
        UserError: The encoder's file holds no weights, or those of another model.
    """
    classes = files.read_json(files.classes_path(data))
    if len(classes) < 2:
        _leave_out(run.name, data, f"{data} has fewer than two classes")
        return
    device = prepare_device(params.seed, params.threads)
    model = params.pretext.model
    encoder = files.weights_path(run.init, "best")
    colorizer = load_encoder(encoder, model, params.model(model))
    colorizer.encoder.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    train, val, test = (
        tuple(
            arrays.load_array(path, device, shuffled=split == "train" and run.mode == "finetune")
            for path in _paths(data, split)
        )
        for split in ("train", "val", "test")
    )
    settings = TrainSettings.from_params(params.train, params.data(data), params.seed, device)
    if run.labels < 100:
        total = len(train[0])
        chosen = choose_subset(train[1].cpu().numpy(), run.labels, params.seed)
        train = tuple(tensor[torch.from_numpy(chosen).to(device)] for tensor in train)
        epochs = count_epochs(settings, total, len(chosen), params.pretext.min_steps)
        settings = dataclasses.replace(settings, epochs=epochs)
    modes = {"finetune": finetune, "probe": probe, "knn": nearest_neighbors}
    modes[run.mode](Setup(run, data, classes, colorizer, train, val, test, settings, params))


def count_epochs(settings: TrainSettings, total: int, labeled: int, min_steps: int) -> int:
    """Return the number of epochs to train on the labeled images.

    With few labels, `settings.epochs` epochs have few optimizer steps, so there are more epochs:
    enough for `min_steps` steps, but for no more steps than with all labels.
    """
    per_epoch = settings.steps(labeled) // settings.epochs
    steps = min(settings.steps(total), min_steps)
    return max(settings.epochs, math.ceil(steps / per_epoch))


def finetune(setup: Setup) -> None:
    """Train the encoder and a linear layer on its pooled output, and test them."""
    model = Classifier(setup.colorizer, len(setup.classes))
    redraw_xavier(model.head, MAX_SEED - setup.params.seed)
    device = setup.train[0].device
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    _train(setup, FinetuneTask(setup.settings.precision), model, setup.train, setup.val)
    metrics, epochs = _test(setup, FinetuneTask("float32"), model, setup.test)
    _write(setup, {"top1": metrics["accuracy"], "test": {"loss": metrics["loss"]}}, epochs)


def probe(setup: Setup) -> None:
    """Train a linear layer on the frozen features of each stage. The last stage is the result."""
    settings = dataclasses.replace(
        setup.settings, precision="float32", flips=False, shifts=0, compile=False
    )
    setup = setup._replace(settings=settings)
    train, widths = _frozen_features(setup, setup.train)
    *_, last = widths
    model = LinearProbes(widths, len(setup.classes))
    redraw_xavier(model, MAX_SEED - setup.params.seed)
    model = model.to(train[0].device).standardize(train[0])
    task = ProbeTask(last)
    _train(setup, task, model, train, _frozen_features(setup, setup.val)[0])
    test, _ = _frozen_features(setup, setup.test)
    metrics, epochs = _test(setup, task, model, test)
    stages = {stage: metrics[f"{stage}_accuracy"] for stage in widths}
    loss = metrics[f"{last}_loss"]
    tracked = {"top1": metrics["accuracy"], "test": {"loss": loss}}
    _write(setup, tracked, {**epochs, "stages": stages})


def nearest_neighbors(setup: Setup) -> None:
    """Classify by nearest neighbors on the features of each stage. The last stage is the result."""
    (train_features, labels), widths = _frozen_features(setup, setup.train)
    (test_features, test_labels), _ = _frozen_features(setup, setup.test)
    sizes = list(widths.values())
    train_stages = train_features.split(sizes, dim=1)
    test_stages = test_features.split(sizes, dim=1)
    params, classes = setup.params.pretext, len(setup.classes)
    stages = {}
    for stage, known, queries in zip(widths, train_stages, test_stages, strict=True):
        predicted = knn.predict_classes(
            known, labels, queries, classes, params.neighbors, params.temperature
        )
        stages[stage] = (predicted == test_labels).double().mean().item()
    *_, last = widths
    _write_untrained(setup.run.name, {"mode": setup.run.mode})
    _write(setup, {"top1": stages[last]}, {"stages": stages})


def _paths(data: str, split: str) -> tuple[Any, Any]:
    return files.images_path(data, split), files.labels_path(data, split)


def _leave_out(name: str, data: str, reason: str) -> None:
    _write_untrained(name, {"left_out": reason})
    files.write_json(files.metrics_path(name), {})
    files.write_json(files.evaluation_path(name), {"data": data, "left_out": reason})
    print(f"{name}: left out: {reason}")


def _write_untrained(name: str, metadata: Mapping[str, Any]) -> None:
    """Write weight files without weights and a history without epochs."""
    for which in ("best", "last"):
        weights.save(files.weights_path(name, which), {}, metadata)
    files.write_history(files.curves_path(name), [])


def _frozen_features(setup: Setup, images: Batch) -> tuple[Batch, dict[str, int]]:
    """Return the features of all stages (N, D) with the labels, and the width of each stage."""
    pooled = features.pool_stages(setup.colorizer, images[0], setup.settings.batch_size)
    widths = {stage: values.shape[1] for stage, values in pooled.items()}
    return (torch.cat(list(pooled.values()), dim=1), images[1]), widths


def _train(setup: Setup, task: TrainingTask, model: nn.Module, train: Batch, val: Batch) -> None:
    """Train `model` on images or features, resuming if an earlier run was killed."""
    name = setup.params.pretext.model
    metadata = {
        "model": name,
        "settings": setup.params.model(name),
        **setup.run._asdict(),
        "data": setup.data,
        "classes": setup.classes,
    }
    inputs = [*_paths(setup.data, "train"), *_paths(setup.data, "val")]
    inputs.append(files.weights_path(setup.run.init, "best"))
    train_task(setup.run.name, task, model, (train, val), setup.settings, metadata, inputs)


def _test(
    setup: Setup, task: TrainingTask, model: nn.Module, test: Batch
) -> tuple[Mapping[str, float], dict[str, int]]:
    """Return the best epoch's test metrics, the number of that epoch, and the number of epochs."""
    state, metadata = weights.load(files.weights_path(setup.run.name, "best"))
    model.load_state_dict(state)
    means = loop.validate(task.eval_step, model, test)
    return means, {"best_epoch": metadata["epoch"]["epoch"], "epochs": setup.settings.epochs}


def _write(setup: Setup, metrics: Mapping[str, Any], details: Mapping[str, Any]) -> None:
    name, labeled = setup.run.name, len(setup.train[0])
    about = {"data": setup.data, "n": len(setup.test[0]), "seed": setup.params.seed}
    content = {**about, **setup.run._asdict(), "labeled": labeled, **details}
    files.write_metrics(files.metrics_path(name), metrics)
    files.write_metrics(files.evaluation_path(name), content)
    print(f"{name}: {labeled} labels, test accuracy {metrics['top1']:.4g}")
