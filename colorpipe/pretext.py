"""Colorization as a pretext task: one classifier, started from a colorizer's encoder or from Xavier."""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from colorpipe import arrays, checkpoints, color, files, live, paths, training, unfinished
from colorpipe.errors import UserError
from colorpipe.models import colorizer
from colorpipe.models.classifier import Classifier, xavier
from colorpipe.params import Params


def task(precision: str) -> training.Measure:
    """What to measure on a batch of images (B, 3, H, W) uint8 and labels (B,): cross-entropy and accuracy, seeing L."""

    def measure(model: nn.Module, batch: training.Batch) -> dict[str, Tensor]:
        images, labels = batch
        L = color.lightness(color.from_bytes(images))
        with training.autocast(images.device, precision):
            logits = model(L)  # (B, classes)
        accuracy = (logits.detach().argmax(dim=1) == labels).double().mean()
        return {"loss": F.cross_entropy(logits, labels), "accuracy": accuracy}

    return measure


def start_classifier(start: Path, params: Params, classes: int) -> Classifier:
    """The classifier at its start: Xavier throughout; where `start` holds a colorizer, its encoder replaces that part.

    So all starts share the very same classification layer. Raises UserError where the colorizer is another model than
    pretext.model.
    """
    wanted, settings = params.pretext.model, params.models.get(params.pretext.model)
    classifier = xavier(colorizer.build(wanted, settings), classes, params.seed)
    tensors, description = checkpoints.load(start)
    if tensors:
        if (description["model"], description["settings"]) != (wanted, settings):
            raise UserError(
                f"pretext.model: {start} is {description['model']} {description['settings']}, not {wanted} {settings}"
            )
        part = "encoder."
        encoder = {name.removeprefix(part): tensor for name, tensor in tensors.items() if name.startswith(part)}
        classifier.encoder.load_state_dict(encoder)
    return classifier


def run(name: str, data: str, start: Path, params: Params) -> None:
    """Train and test one classifier from the weights in `start`: models/, curves/ and metrics/ of pretext/<name>.

    Where the data set has no classes to tell apart, they are files that say so.
    """
    name = f"pretext/{name}"
    classes = files.read_json(paths.classes(data))
    if len(classes) < 2:
        leave_out(name, data, len(classes))
        return
    device = training.prepare(params.seed, params.threads)
    settings = training.Settings.of(params, data)
    model = start_classifier(start, params, len(classes)).to(device, memory_format=torch.channels_last)
    description = {
        "model": params.pretext.model,
        "settings": params.models.get(params.pretext.model),
        "start": str(start),
        "data": data,
        "classes": classes,
        "train": vars(settings),
    }

    def save(which: str, row: training.Row) -> None:
        checkpoints.save(paths.checkpoint(name, which), model.state_dict(), {**description, "row": row})

    train, val, test = (
        tuple(arrays.load(path(data, part), device) for path in (paths.images, paths.labels))
        for part in ("train", "val", "test")
    )
    training.announce(name, model, len(train[0]), settings, device)
    inputs = [start, *(path(data, part) for path in (paths.images, paths.labels) for part in ("train", "val"))]
    with unfinished.training(name, description, inputs) as state:
        with live.training(name, state) as log:
            curves = training.fit(model, task(settings.precision), train, val, settings, save, log, state)
        score(name, data, model, test, curves, settings)


def score(
    name: str, data: str, model: Classifier, test: training.Batch, curves: list[training.Row], settings: training.Settings
) -> None:
    """Test the weights of the best epoch: metrics/<name>.json."""
    tensors, best = checkpoints.load(paths.checkpoint(name, "best"))
    model.load_state_dict(tensors)
    found = training.evaluate(model, task("float32"), test, settings.batch_size).means()
    result = {
        "data": data,
        "n": len(test[0]),
        "seed": settings.seed,
        "best_epoch": best["row"]["epoch"],
        "train": {
            "first_accuracy": curves[0]["train_accuracy"],
            "accuracy": curves[-1]["train_accuracy"],
            "loss": curves[-1]["train_loss"],
        },
        "test": {"loss": found["loss"], "accuracy": found["accuracy"]},
    }
    files.write_json(paths.metrics(name), result)
    print(f"{name}: test accuracy {found['accuracy']:.4g}, test loss {found['loss']:.4g}")


def leave_out(name: str, data: str, classes: int) -> None:
    """Files without weights, rows or scores, so that the pipeline goes on."""
    why = f"{data} has {classes or 'no'} class{'es' if classes != 1 else ''}"
    for which in ("best", "last"):
        checkpoints.save(paths.checkpoint(name, which), {}, {"left_out": why})
    training.write_curves(paths.curves(name), [])
    files.write_json(paths.metrics(name), {"data": data, "left_out": why})
    print(f"{name}: left out, as {why}")
