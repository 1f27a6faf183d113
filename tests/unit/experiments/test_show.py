"""Experiments as narrow tables, from what `dvc exp show --json` prints."""

from experiments import show


def revision(name: str, loss: str, value: float, **more: object) -> dict:
    test = {"loss": value, "ssim": 0.25, "psnr": 21.5, "mse": value}
    content = {"test": test, "rgb": {"psnr": 24.0, "ssim": 0.9}, "colorfulness": 14.25}
    pretext = {"top1": 0.5, "test": {"loss": 1.5}}
    files = {
        "metrics/resnet.json": {"data": content},
        "metrics/pretext/xavier.json": {"data": pretext},
    }
    files["live/metrics.json"] = {"data": {"step": 3}}
    params = {"seed": 0, "loss": loss, "train": {"lr": 0.001}}
    return {
        "rev": "a" * 40,
        "name": name,
        "data": {"params": {"params.yaml": {"data": params}}, "metrics": files},
        **more,
    }


def test_an_experiment_shows_what_it_changed_and_which_results_differ():
    changed = {"revs": [revision("tawny-pale", "lpips", 0.25)], "executor": None}
    queued = {
        "revs": [{"rev": "b" * 40, "name": None, "data": None}],
        "executor": {"state": "Queued"},
    }
    commit = revision("main", "mse", 150.25, experiments=[changed, queued])
    committed, experiment, waiting = show.blocks([revision("workspace", "mse", 150.25), commit])
    assert committed.splitlines()[0] == "main"
    assert [line.split()[0] for line in committed.splitlines()[2:]] == ["resnet", "pretext/xavier"]
    title, heads, row = experiment.splitlines()
    assert title == "tawny-pale: loss=lpips"
    assert heads.split()[:2] == ["test", "loss"]
    assert row.split() == ["resnet", "0.25", "0.25", "21.5", "0.25", "0.9", "24", "14.25"]
    assert waiting == "bbbbbbbbb: queued"
    assert (
        max(len(line) for block in (committed, experiment, waiting) for line in block.splitlines())
        <= 100
    )


def test_the_workspace_is_shown_where_it_differs():
    commit = revision("main", "mse", 150.25, experiments=None)
    workspace = revision("", "lpips", 150.25) | {"rev": "workspace"}
    del workspace["name"]  # as DVC prints it
    *_, workspace = show.blocks([workspace, commit])
    assert workspace == "workspace: loss=lpips\nno results differ"
