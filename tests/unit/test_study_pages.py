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


def read_tables(text: str, first: str = "colorizer") -> list[list[list[str]]]:
    """Return the tables of a Markdown text whose first column has a title, as lists of cells."""
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    cells = [
        [[cell.strip() for cell in line.strip("|\n").split("|")] for line in table.splitlines()]
        for table in tables
    ]
    return [table for table in cells if table[0][0] == first]


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


def test_the_effect_of_the_recipe_follows_from_the_results(results):
    errors = results[results["seed"] == 0].set_index("colorizer")["test.mse"]
    names = [("ResNet", "resnet", "resnet_refined_recipe"), ("U-Net", "unet_paper_recipe", "unet")]
    for network, before, after in names:
        sentence = f"of the {network} from {errors[before]:.1f} to {errors[after]:.1f}"
        assert sentence in " ".join(PAGE.split())


def test_all_results_are_in_the_first_table(results):
    named = {name for name, *_ in read_tables(PAGE)[0][2:]}
    assert named == set(results.loc[~results["colorizer"].str.contains("/"), "colorizer"])


def test_the_path_from_faithful_to_vivid_follows_from_the_decodings():
    decodings = pd.read_csv(STUDY / "decodings.csv")
    is_unet = (decodings["colorizer"] == "unet_rebalanced") & (decodings["seed"] == 0)
    path = decodings[is_unet & (decodings["part"] == "test")].sort_values("vividness")
    lines = re.findall(
        r"^\| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", PAGE, re.M
    )
    columns = ["vividness", "alpha", "temperature", "mse", "colorfulness"]
    for cells, row in zip(lines, path[columns].itertuples(index=False), strict=True):
        assert list(cells) == [
            round_as(cell, value) for cell, value in zip(cells, row, strict=True)
        ]


def test_the_table_of_lambda_follows_from_the_decodings():
    decodings = pd.read_csv(STUDY / "lambda/decodings.csv")
    decodings = decodings[decodings["part"] == "validation"]
    share = decodings["settings"].str.extract(r"uniform_share=([\d.]+)", expand=False).fillna("0.5")
    ((_, _, *lines),) = read_tables(PAGE, "lambda")
    assert [line[0] for line in lines] == ["0.5", "0.9", "1"]
    for name, *cells in lines:
        rows = decodings[share == name]
        at_0 = rows[rows["alpha"] == 0].set_index("temperature")[["mse", "colorfulness"]]
        expected = [*at_0.loc[0.38], *at_0.loc[1], rows["mse"].min()]
        assert cells == [f"{value:.1f}" for value in expected]


@pytest.fixture(scope="module")
def accuracies(results) -> pd.DataFrame:
    """Return the accuracies of the pretext task with a row per mode, labels and seed."""
    pretext = results[results["colorizer"].str.startswith("pretext/")]
    names = pretext["colorizer"].str.extract(r"pretext/(?P<init>.+)-(?P<mode>\w+)-(?P<labels>\d+)")
    keys = [names["mode"], names["labels"], pretext["seed"]]
    return pretext.pivot_table("top1", keys, names["init"])


def test_the_table_of_the_pretext_task_follows_from_the_results(accuracies):
    (table,) = read_tables(PAGE, "mode")
    header, _, *lines = table
    assert len(lines) == 9
    for mode, labels, *cells in lines:
        seeds = accuracies.loc[mode, labels.removesuffix(" %")]
        for title, text in zip(header[2:], cells, strict=True):
            first, _, second = title.partition(" - ")
            if second:
                difference = (seeds[first] - seeds[second]).dropna()
                half = half_width(difference)
                expected = f"{difference.mean():+.3f} ± {half:.3f}"
                assert text == (f"**{expected}**" if abs(difference.mean()) > half else expected)
            else:
                check(text, seeds[first].dropna())


def test_the_linear_probes_by_stage_follow_from_the_results(results):
    flat = " ".join(PAGE.split())
    for init, pattern in (
        ("resnet", "`resnet` has {} on the stem, {} on layer1 and {} on layer2"),
        ("xavier", "`xavier` has {}, {} and {}"),
    ):
        probes = results[results["colorizer"] == f"pretext/{init}-probe-100"]
        means = [probes[f"stages.{stage}"].mean() for stage in ("stem", "layer1", "layer2")]
        assert pattern.format(*(f"{mean:.3f}" for mean in means)) in flat


def format_difference(values: pd.DataFrame, digits: int = 1) -> str:
    """Return the mean difference between `resnet` and `xavier` with its 95 % interval."""
    difference = values["resnet"] - values["xavier"]
    return f"{difference.mean():+.{digits}f} ± {half_width(difference):.{digits}f}"


@pytest.mark.parametrize("text", [PAGE, README], ids=["page", "README"])
def test_the_claims_about_fine_tuning_follow_from_the_results(accuracies, text):
    flat = " ".join(text.split())
    for labels in ("100", "1"):
        claim = format_difference(100 * accuracies.loc["finetune", labels])
        assert f"{claim} points" in flat, labels


def test_the_other_claims_about_the_pretext_task_follow_from_the_results(results, accuracies):
    flat = " ".join(PAGE.split())
    assert f"{format_difference(100 * accuracies.loc['finetune', '10'])} points" in flat
    pattern = r"pretext/(\w+)-finetune-100"
    losses = results.assign(init=results["colorizer"].str.extract(pattern))
    loss = format_difference(losses.pivot_table("test.loss", "seed", "init"), 3)
    assert f"{loss} in test loss" in flat
    curves = pd.read_csv(STUDY / "curves.csv")
    curves = curves[(curves["part"] == "training") & (curves["metric"] == "accuracy")]
    curves = curves.assign(init=curves["colorizer"].str.extract(pattern))
    for epoch in (1, 10):
        values = curves[curves["epoch"] == epoch].pivot_table("value", "seed", "init")
        assert f"{format_difference(100 * values)} points" in flat, epoch


def test_the_validation_accuracies_in_the_last_epoch_follow_from_the_curves():
    flat = " ".join(PAGE.split())
    curves = pd.read_csv(STUDY / "curves.csv").sort_values("epoch")
    curves = curves[(curves["part"] == "validation") & (curves["metric"] == "accuracy")]
    for labels in (1, 10, 100):
        names = {init: f"pretext/{init}-finetune-{labels}" for init in ("resnet", "xavier")}
        last = {
            init: curves[curves["colorizer"] == name].groupby("seed")["value"].last()
            for init, name in names.items()
        }
        assert format_difference(100 * pd.DataFrame(last)) in flat, labels
