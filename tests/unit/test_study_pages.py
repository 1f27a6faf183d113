"""The numbers on the pages follow from the results of the CIFAR-10 study."""

import re

import pandas as pd
import pytest
from project import ROOT

from colorpipe.report.tables import PAPER
from experiments.seeds import half_width

STUDY = ROOT / "results/cifar10"
PAGE, README = ((folder / "README.md").read_text() for folder in (STUDY, ROOT))
METRICS = {  # the columns of the pages' tables
    "MSE": "test.mse",
    "loss": "test.loss",
    "SSIM": "test.ssim",
    "PSNR (dB)": "test.psnr",
    "RGB SSIM": "rgb.ssim",
    "RGB PSNR (dB)": "rgb.psnr",
    "colorfulness": "colorfulness",
    "AuC": "auc",
    "AuC re-balanced": "auc_rebalanced",
    "LPIPS": "lpips",
    "RGB MAE (%)": "rgb.mae",
    "histogram divergence": "histogram_divergence",
}
VALUE = r"`(\w+)` (\d+\.\d+(?: ± \d+\.\d+)?)"  # such as "`resnet` 146.0 ± 1.2"


@pytest.fixture(scope="module")
def results() -> pd.DataFrame:
    return pd.read_csv(STUDY / "results.csv").sort_values("seed")


def read_tables(text: str) -> list[list[list[str]]]:
    """Return the tables of a Markdown text whose lines are colorizers, as lists of cells."""
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    cells = [
        [[cell.strip() for cell in line.strip("|\n").split("|")] for line in table.splitlines()]
        for table in tables
    ]
    return [table for table in cells if table[0][0] == "colorizer"]


def round_as(text: str, value: float) -> str:
    """Return a number with the digits after the point that a text has."""
    return f"{value:.{len(text.partition('.')[2])}f}"


def check(text: str, values: pd.Series) -> None:
    """Check a text such as "144.7" or "145.9 ± 1.7": a value, or mean and standard deviation."""
    mean, _, deviation = text.partition(" ± ")
    assert mean == round_as(mean, values.mean())
    assert bool(deviation) == (len(values) > 1), f"{text} of {len(values)} seeds"
    if deviation:
        assert deviation == round_as(deviation, values.std())


@pytest.mark.parametrize("text", [PAGE, README], ids=["page", "README"])
def test_the_tables_follow_from_the_results(results, text):
    tables = read_tables(text)
    assert tables
    for header, _, *lines in tables:
        for name, *cells in lines:
            rows = results[results["colorizer"] == name]
            for title, text in zip(header[1:], cells, strict=True):
                if title in METRICS:
                    check(text, rows[METRICS[title]])
                elif title == "seeds" and text:
                    assert int(text) == len(rows)
                elif title == "epochs (best)" and text:
                    best = ", ".join(f"{epoch:.0f}" for epoch in rows["best_epoch"])
                    assert text == f"{rows['epochs'].max():.0f} ({best})"
                elif title == "paper" and text:
                    assert float(text) in PAPER[name, rows["loss"].iloc[0].split(",")[0]].values()


def test_the_claims_follow_from_the_results(results):
    titles = "|".join(map(re.escape, METRICS))
    claims = re.findall(rf"({titles}): ((?:{VALUE}(?:, )?)+)", PAGE.replace("Colorf", "colorf"))
    assert len(claims) > 5
    for title, text, *_ in claims:
        for name, value in re.findall(VALUE, text):
            check(value, results.loc[results["colorizer"] == name, METRICS[title]])


def test_the_difference_between_unet_and_resnet(results):
    errors = results.pivot_table("test.mse", "seed", "colorizer")
    differences = (errors["unet"] - errors["resnet"]).dropna()
    expected = f"{differences.mean():.1f} ± {half_width(differences):.1f} (95 % interval)"
    assert f"paired by seed, is {expected}" in PAGE


def test_all_results_are_in_the_first_table(results):
    named = {name for name, *_ in read_tables(PAGE)[0][2:]}
    assert named == set(results.loc[~results["colorizer"].str.contains("/"), "colorizer"])


def test_the_path_from_faithful_to_vivid_follows_from_the_decodings():
    decodings = pd.read_csv(STUDY / "decodings.csv")
    is_unet = decodings["colorizer"] == "unet_rebalanced"
    path = decodings[is_unet & (decodings["part"] == "test")].sort_values("vividness")
    lines = re.findall(
        r"^\| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", PAGE, re.M
    )
    columns = ["vividness", "alpha", "temperature", "mse", "colorfulness"]
    for cells, row in zip(lines, path[columns].itertuples(index=False), strict=True):
        assert list(cells) == [
            round_as(cell, value) for cell, value in zip(cells, row, strict=True)
        ]


def test_the_pretext_accuracies_follow_from_the_results(results):
    accuracy = results.groupby("colorizer")["top1"].mean()
    shown = re.search(
        r"with all labels, `resnet`\s.*?(?=\.\s[A-Z])", PAGE.replace("\n", " ")
    ).group()
    expected = [
        accuracy[f"pretext/{init}-finetune-{labels}"]
        for labels in (100, 1)
        for init in ("resnet", "xavier", "random")
    ]
    assert re.findall(r"0\.\d{3}", shown) == [f"{value:.3f}" for value in expected]
