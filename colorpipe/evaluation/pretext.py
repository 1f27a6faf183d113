"""The pretext task: what is an encoder that learned to colorize worth to a classifier, beside one that did not?

Three ways to ask, as self-supervised learning does. "finetune": all of the encoder trains, with a linear layer on top (the
paper's). "probe": a linear layer on the frozen features of each stage. "knn": nearest neighbors among the same features.
Each with a share of the training labels. But for the encoder's weights all runs of a mode and a share are alike: the images
whose labels are used, the draw of the linear layers, the order of the batches.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import nn

from colorpipe import io, paths, weights
from colorpipe.config import Params, PretextRun
from colorpipe.data import load, subset
from colorpipe.evaluation import knn
from colorpipe.models import base, features
from colorpipe.models.base import Colorizer
from colorpipe.models.classifier import Classifier, LinearProbes, redraw_xavier
from colorpipe.tasks import supervised
from colorpipe.tasks.classification import ClassificationTask, leave_out
from colorpipe.tasks.probe import ProbeTask
from colorpipe.tasks.supervised import SupervisedTask
from colorpipe.training import device as devices
from colorpipe.training import loop, processes
from colorpipe.training.batches import Batch
from colorpipe.training.settings import TrainSettings


class Given(NamedTuple):
    """What a run works with. Each set is images (N, 3, H, W) uint8 and labels (N,); `train` has the labeled ones alone."""

    run: PretextRun
    data: str  # a data set of params.yaml
    classes: list[str]
    colorizer: Colorizer  # whose encoder it is
    train: Batch
    val: Batch
    test: Batch
    settings: TrainSettings
    params: Params


def run(one: PretextRun, data: str, params: Params) -> None:
    """Train and test one classifier: writes models/, curves/, metrics/ and evaluations/ of its name.

    Where the data set has fewer than two classes, they are files that say so.

    Args:
        one: what it starts from, how its features are used, the percent of the labels.
        data: a data set of params.yaml.
        params: all settings.

    Raises:
        UserError: the encoder is another model than pretext.model, or there is none.
    """
    classes = io.read_json(paths.classes(data))
    if len(classes) < 2:
        reason = leave_out(one.name, data, len(classes))
        io.write_json(paths.metrics(one.name), {})
        io.write_json(paths.evaluation(one.name), {"data": data, "left_out": reason})
        return
    device = devices.prepare(params.seed, params.threads)
    model = params.pretext.model
    colorizer = base.load_encoder(paths.checkpoint(one.init, "best"), model, params.model(model))
    colorizer.encoder.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    train, val, test = (
        tuple(load.load(path(data, split), device) for path in (paths.images, paths.labels))
        for split in ("train", "val", "test")
    )
    settings = TrainSettings.from_params(params.train, params.data(data), params.seed, device)
    if one.labels < 100:
        everything = len(train[0])
        chosen = torch.from_numpy(subset.balanced(train[1].cpu().numpy(), one.labels, params.seed)).to(device)
        train = tuple(tensor[chosen] for tensor in train)
        epochs = count_epochs(settings, everything, len(chosen), params.pretext.steps)
        settings = dataclasses.replace(settings, epochs=epochs)
    modes = {"finetune": finetune, "probe": probe, "knn": nearest_neighbors}
    modes[one.mode](Given(one, data, classes, colorizer, train, val, test, settings, params))


def count_epochs(settings: TrainSettings, everything: int, labeled: int, steps: int) -> int:
    """How many epochs to train on the labeled images: the settings', or more, until `steps` steps of the optimizer.

    But no more steps than all images would have.
    """
    each, all_of_them = (math.ceil(count / settings.batch_size) for count in (labeled, everything))
    return max(settings.epochs, math.ceil(min(settings.epochs * all_of_them, steps) / each))


def finetune(given: Given) -> None:
    """Train the encoder and a linear layer on its pooled output."""
    model = Classifier(given.colorizer.encoder, channels=given.colorizer.channels, classes=len(given.classes))
    redraw_xavier(model.head, given.params.seed)
    model = model.to(given.train[0].device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    train(given, ClassificationTask(given.settings.precision), model, given.train, given.val)
    found, epochs = test(given, ClassificationTask("float32"), model, given.test)
    write(given, {"top1": found["accuracy"], "test": {"loss": found["loss"]}}, epochs)


def probe(given: Given) -> None:
    """Train a linear layer on the frozen features of each stage; the last stage's is the result."""
    settings = dataclasses.replace(given.settings, precision="float32", flips=False, shifts=0, compile=False)
    given = given._replace(settings=settings)
    labeled, widths = frozen(given, given.train)
    model = LinearProbes(widths, len(given.classes))
    redraw_xavier(model, given.params.seed)
    model = model.to(labeled[0].device).standardize(labeled[0])
    train(given, ProbeTask(), model, labeled, frozen(given, given.val)[0])
    found, epochs = test(given, ProbeTask(), model, frozen(given, given.test)[0])
    stages = {stage: found[f"{stage}_accuracy"] for stage in widths}
    loss = found[f"{list(widths)[-1]}_loss"]
    write(given, {"top1": found["accuracy"], "test": {"loss": loss}}, {**epochs, "stages": stages})


def nearest_neighbors(given: Given) -> None:
    """Let the nearest labeled images vote, on the features of each stage; the last stage's is the result."""
    (known, labels), widths = frozen(given, given.train)
    asked, truth = frozen(given, given.test)[0]
    stages = {}
    settings = given.params.pretext
    for stage, *parts in zip(widths, *(side.split(list(widths.values()), dim=1) for side in (known, asked)), strict=True):
        predicted = knn.predict(parts[0], labels, parts[1], len(given.classes), settings.neighbors, settings.temperature)
        stages[stage] = accuracy = (predicted == truth).double().mean().item()
    if processes.rank() == 0:
        for which in ("best", "last"):  # nothing is trained
            weights.save(paths.checkpoint(given.run.name, which), {}, {"mode": given.run.mode})
        io.write_history(paths.curves(given.run.name), [])
    write(given, {"top1": accuracy}, {"stages": stages})


def frozen(given: Given, images: Batch) -> tuple[Batch, dict[str, int]]:
    """The features of all stages side by side (N, D) and the labels; and how many are each stage's."""
    found = features.pooled(given.colorizer.encoder, images[0], given.settings.batch_size)
    widths = {stage: values.shape[1] for stage, values in found.items()}
    return (torch.cat(list(found.values()), dim=1), images[1]), widths


def train(given: Given, task: SupervisedTask, model: nn.Module, labeled: Batch, val: Batch) -> None:
    """Train `model` on the labeled images or their features; resumed where it was killed."""
    name = given.params.pretext.model
    metadata = {"model": name, "settings": given.params.model(name), **given.run._asdict()}
    metadata |= {"data": given.data, "classes": given.classes}
    inputs = [path(given.data, split) for path in (paths.images, paths.labels) for split in ("train", "val")]
    inputs.append(paths.checkpoint(given.run.init, "best"))
    supervised.train(given.run.name, task, model, (labeled, val), given.settings, metadata, inputs)


def test(given: Given, task: SupervisedTask, model: nn.Module, tensors: Batch) -> tuple[Mapping[str, float], dict[str, int]]:
    """The metrics of the best epoch's weights on the test set; which epoch that was, and of how many."""
    state, metadata = weights.load(paths.checkpoint(given.run.name, "best"))
    model.load_state_dict(state)
    means = loop.evaluate(task.eval_step, model, tensors, given.settings.batch_size).means()
    return means, {"best_epoch": metadata["epoch"]["epoch"], "epochs": given.settings.epochs}


def write(given: Given, metrics: Mapping[str, Any], identity: Mapping[str, Any]) -> None:
    """Write metrics/<name>.json and evaluations/<name>.json."""
    if processes.rank() > 0:
        return
    name, labeled = given.run.name, len(given.train[0])
    about = {"data": given.data, "n": len(given.test[0]), "seed": given.params.seed, **given.run._asdict()}
    io.write_json(paths.metrics(name), metrics)
    io.write_json(paths.evaluation(name), {**about, "labeled": labeled, **identity})
    print(f"{name}: {labeled} labels, test accuracy {metrics['top1']:.4g}")
