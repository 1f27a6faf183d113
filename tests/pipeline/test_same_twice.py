"""Two processes in two folders give the same bytes for each model, loss and kind of step."""

import os
import subprocess
import sys
from pathlib import Path

import yaml
from project import ROOT

TRAININGS = [
    *(
        (model, loss, "train")
        for model in ("resnet18", "densenet121", "eccv16")
        for loss in ("mse", "lpips")
    ),
    ("eccv16", "color_classification", "train"),
    ("unet", "color_classification", "recipes.refined"),
    ("unet", "l1", "recipes.adversarial"),
    ("timm_unet", "color_classification", "recipes.finetuned"),
]
SCRIPT = """
import sys
import numpy as np
from pathlib import Path
from stages import check, download, evaluate, split, train

def run(module, *arguments):
    sys.argv = [module.__name__, *arguments]
    module.main()

run(check)
run(download, "photos")
run(split, "photos")
for part, count in (("train", 8), ("val", 4), ("test", 4)):  # few images
    for path in (Path(f"data/photos/{part}.npy"), Path(f"data/photos/{part}_labels.npy")):
        np.save(path, np.load(path)[:count])
for model, loss, recipe in %r:
    name, step = f"{model}_{loss}", "adversarial" if "adversarial" in recipe else "colorization"
    start = f"data/photos/weights/{model}.safetensors"
    columns = ("--model", model, "--data", "photos", "--loss", loss, "--recipe", recipe)
    run(train, name, *columns, "--step", step, "--start-from", start)
    run(evaluate, name, "--data", "photos", "--loss", loss)
""" % (TRAININGS,)  # noqa: UP031  # the script has many braces


def start(folder: Path, hash_seed: str) -> subprocess.Popen:
    folder.mkdir(parents=True)
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["datasets"]["photos"]["epochs"] = 1
    for recipe in (content["train"], *content["recipes"].values()):
        recipe["batch_size"] = 4
    (folder / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text())
    (folder / "params.yaml").write_text(yaml.safe_dump(content))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": hash_seed}
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT], cwd=folder, env=environment, stdout=subprocess.DEVNULL
    )


def results(folder: Path) -> dict[str, bytes]:
    paths = [
        path
        for kind in ("data", "models", "curves", "metrics", "evaluations", "grids", "galleries")
        for path in folder.glob(f"{kind}/**/*")
    ]
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in paths if path.is_file()
    }


def test_two_runs_give_the_same_bytes(tmp_path):
    runs = {name: start(tmp_path / name, name) for name in ("1", "2")}
    assert [process.wait() for process in runs.values()] == [0, 0]
    first, second = (results(tmp_path / name) for name in runs)
    assert sum(name.endswith("best.safetensors") for name in first) == len(TRAININGS)
    assert sum(name.startswith("metrics/") for name in first) == len(TRAININGS)
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []
