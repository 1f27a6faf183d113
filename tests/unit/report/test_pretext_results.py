import pandas as pd
import pytest

from colorpipe.config import PretextRun
from colorpipe.report import pretext_results
from colorpipe.report.results import Result

METRICS = ("train_accuracy", "val_accuracy", "train_loss", "val_loss")
HISTORY = pd.DataFrame({"epoch": [1, 2], **{metric: [0.25, 0.5] for metric in METRICS}})


def result(mode):
    run = {"data": "photos", "n": 9, "seed": 0, "best_epoch": 2}
    stages = {"stages": {"layer1": 0.3, "layer2": 0.4}} if mode == "probe" else {}
    return Result({**run, **stages}, {"top1": 0.4, "test.loss": 1.5})


def results(modes, labels):
    runs = [PretextRun("resnet", mode, share) for mode in modes for share in labels]
    return {run: result(run.mode) for run in runs}


def test_a_run_without_training_has_no_epochs():
    by_run = results(["finetune", "knn"], [100])
    histories = dict(zip(by_run, (HISTORY, HISTORY.head(0)), strict=True))
    table = pretext_results.pretext_table(by_run, histories)
    assert table["test accuracy"].tolist() == [0.4, 0.4]
    assert table["first train accuracy"].tolist()[0] == 0.25
    assert table["last train accuracy"].tolist()[0] == 0.5
    assert table["epoch"].isna().tolist() == [False, True]


@pytest.mark.parametrize(
    ("modes", "labels", "titles"),
    [
        (
            ["finetune"],
            [100],
            ["Fine-tuned: accuracy, 100% of the labels", "Fine-tuned: cross-entropy"],
        ),
        (
            ["probe", "knn"],
            [1, 100],
            [
                "Linear probe, last stage",
                "k nearest neighbors, last stage",
                "Linear probe of each stage, 1% of the labels",
                "Linear probe of each stage, 100% of the labels",
            ],
        ),
        (["knn"], [100], ["k nearest neighbors, last stage"]),
        ([], [], ["k nearest neighbors, last stage"]),
    ],
)
def test_the_panels_follow_the_modes_and_the_labels(tmp_path, monkeypatch, modes, labels, titles):
    saved = []
    monkeypatch.setattr(pretext_results, "save", lambda figure, path: saved.append(figure))
    by_run = results(modes, labels)
    points = pretext_results.tabulate_accuracies(by_run)
    curves = dict.fromkeys(by_run, HISTORY)
    pretext_results.draw_pretext(tmp_path / "pretext.png", points, curves)
    shown = [panel.get_title() for panel in saved[0].axes]
    assert len(shown) == len(titles)
    assert all(text.startswith(title) for text, title in zip(shown, titles, strict=True)), shown
