"""The pretext task: does a classifier that starts from a colorizer's encoder beat one that starts from Xavier?"""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from colorpipe import io, paths, weights
from colorpipe.config import Params
from colorpipe.data import load
from colorpipe.tasks import supervised
from colorpipe.tasks.classification import ClassificationTask, build_classifier, leave_out
from colorpipe.training import device as devices
from colorpipe.training import loop, processes
from colorpipe.training.loop import Batch, TrainSettings


def run(name: str, data: str, init: Path, params: Params) -> None:
    """Train and test one classifier: writes models/, curves/, metrics/ and evaluations/ of pretext/<name>.

    Where the data set has fewer than two classes, they are files that say so.

    Args:
        name: what the run is called.
        data: a data set of params.yaml.
        init: what the classifier is initialized from (see `build_classifier`).
        params: all settings.
    """
    name = f"pretext/{name}"
    classes = io.read_json(paths.classes(data))
    if len(classes) < 2:
        reason = leave_out(name, data, len(classes))
        io.write_json(paths.metrics(name), {})
        io.write_json(paths.evaluation(name), {"data": data, "left_out": reason})
        return
    device = devices.prepare(params.seed, params.threads)
    settings = TrainSettings.from_params(params.train, params.data(data), params.seed, device)
    model = build_classifier(init, params, len(classes)).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    metadata = {
        "model": params.pretext.model,
        "settings": params.model(params.pretext.model),
        "init": str(init),
        "data": data,
        "classes": classes,
    }
    train, val, test = (
        tuple(load.load(path(data, split), device) for path in (paths.images, paths.labels))
        for split in ("train", "val", "test")
    )
    inputs = [init, *(path(data, split) for path in (paths.images, paths.labels) for split in ("train", "val"))]
    supervised.train(name, ClassificationTask(settings.precision), model, (train, val), settings, metadata, inputs)
    test_classifier(name, data, model, test, settings)


def test_classifier(name: str, data: str, model: nn.Module, test: Batch, settings: TrainSettings) -> None:
    """Test the weights of the best epoch: writes metrics/<name>.json and evaluations/<name>.json."""
    tensors, metadata = weights.load(paths.checkpoint(name, "best"))
    model.load_state_dict(tensors)
    means = loop.evaluate(ClassificationTask("float32").eval_step, model, test, settings.batch_size).means()
    if processes.rank() > 0:
        return
    identity: dict[str, Any] = {
        "data": data,
        "n": len(test[0]),
        "seed": settings.seed,
        "best_epoch": metadata["epoch"]["epoch"],
    }
    io.write_json(paths.metrics(name), {"top1": means["accuracy"], "test": {"loss": means["loss"]}})
    io.write_json(paths.evaluation(name), identity)
    print(f"{name}: test accuracy {means['accuracy']:.4g}, test loss {means['loss']:.4g}")
