"""Tabulate DVC experiments: mean and standard deviation over seeds, and paired differences.

    python -m experiments.table                                 # list the experiments at hand
    python -m experiments.table 'seeds-*' --out results/mine    # tabulate them over their seeds

The results are added to those in the folder, so a long study can be tabulated in pieces. A result
of the same colorizer, seed, data and settings is replaced.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from colorpipe import files
from colorpipe.evaluation.table import METRICS
from colorpipe.report.tables import GRAY_BASELINE, to_markdown
from colorpipe.runtime.errors import UserError, one_line
from colorpipe.runtime.process import run_main
from experiments import study
from experiments.collect import (
    CURVE_KEYS,
    IDENTITY,
    Collection,
    Experiment,
    collect,
    find_experiments,
    find_results,
    read_result,
)
from experiments.seeds import compare, tabulate

DECODING_TITLES = {"mse": "ab MSE", "colorfulness": "colorfulness"}
TITLES = {metric.key: metric.title for metric in METRICS if metric.tracked}
IMAGE_KEYS = ["colorizer", "data", "settings"]  # identify a grid of test images
# A short hash may look like a number. Numbers of parameters are written with all digits.
DTYPES = {"commit": "str", "experiment": "str", "parameters": "Int64"}
WIDTH = 100  # columns of a terminal


def load_table(path: Path, keys: list[str]) -> pd.DataFrame:
    """Return a table of a study, or an empty one if there is no such file.

    Args:
        path: A CSV file that this module has written.
        keys: Columns that the table must have.

    Raises:
        UserError: The file is not such a table.
    """
    if not path.is_file():
        return pd.DataFrame()
    remedy = "restore it, or delete it and tabulate the experiments again"
    try:
        table = pd.read_csv(path, dtype=DTYPES)
    except (TypeError, ValueError) as error:
        raise UserError(f"{path} cannot be read as a table ({one_line(error)}): {remedy}") from None
    missing = [key for key in keys if key not in table]
    if missing:
        raise UserError(f"{path} lacks the columns {', '.join(missing)}: {remedy}")
    return table.fillna({"settings": ""})


def replace_rows(old: pd.DataFrame, new: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Return both tables, with the new rows in place of old rows of the same keys."""
    if new.empty:
        return old
    if len(old):
        is_replaced = pd.MultiIndex.from_frame(old[keys].astype(str)).isin(
            pd.MultiIndex.from_frame(new[keys].astype(str))
        )
        new = pd.concat([old[~is_replaced], new], ignore_index=True)
    return new.sort_values(keys, kind="stable")


def name_lines(results: pd.DataFrame, separate_settings: bool) -> pd.DataFrame:
    """Return the results with a column `line`, which tells several settings of a colorizer apart.

    Args:
        results: The rows of results.csv.
        separate_settings: Whether each setting becomes a line of its own.

    Raises:
        UserError: A colorizer has several settings, and `separate_settings` is false.
    """
    lines = results["colorizer"].copy()
    for (name, _), rows in results.groupby(["colorizer", "data"]):
        settings = {text: set(str(text).split("; ")) for text in rows["settings"].unique()}
        if len(settings) == 1:
            continue
        if not separate_settings:
            raise UserError(
                f"{name} was run with several settings: {'; '.join(map(repr, settings))}: name "
                "fewer experiments, use another --out, or tabulate each setting as a line of its "
                "own with --separate-settings"
            )
        shared = set.intersection(*settings.values())
        for text, parts in settings.items():
            own = sorted(parts - shared - {""})
            lines[rows.index[rows["settings"] == text]] = f"{name} ({', '.join(own) or 'default'})"
    return results.assign(line=lines)


def format_tables(results: pd.DataFrame, decodings: pd.DataFrame, reference: str) -> str:
    """Return the tables of the colorizers, of decodings and of the pretext task in Markdown."""
    is_pretext = results["colorizer"].str.startswith(study.PRETEXT)
    colorizers = results[~is_pretext]
    sections = [
        tabulate(colorizers, ["data", "line"], TITLES),
        compare(
            colorizers[colorizers["colorizer"] != GRAY_BASELINE],
            "line",
            reference,
            TITLES,
            ["data"],
        ),
    ]
    if len(decodings):
        for part, keys in (("validation", ["alpha", "temperature"]), ("test", ["vividness"])):
            rows = decodings[decodings["part"] == part].sort_values(["line", *keys], kind="stable")
            sections.append(tabulate(rows, ["data", "line", "part", *keys], DECODING_TITLES))
    if is_pretext.any():
        pretext = study.split_names(results[is_pretext])
        stages = {key: key for key in pretext if key.startswith("stages.")}
        accuracy = {"top1": TITLES["top1"]} | stages
        keys = ["data", "mode", "labels"]
        if pretext["variant"].any():
            keys.append("variant")
        sections.append(tabulate(pretext, [*keys, "init"], accuracy))
        sections.append(compare(pretext, "init", "xavier", accuracy, keys))
    return "\n\n".join(
        to_markdown(section.rename(columns={"line": "colorizer"}))
        for section in sections
        if len(section)
    )


def rename_images(out: Path, old: pd.DataFrame, lines: pd.DataFrame) -> None:
    """Rename the test images of lines whose names became longer by new results.

    Args:
        out: The folder of the study.
        old: The previous results with the column `line`.
        lines: All results with the column `line`.
    """
    names, old_names = (
        table.drop_duplicates(IMAGE_KEYS).set_index(IMAGE_KEYS)["line"] for table in (lines, old)
    )
    for key, old_name in old_names.items():
        path = study.image_path(out, old_name)
        if names[key] != old_name and path.is_file():
            path.rename(study.image_path(out, names[key]))


def write_images(
    out: Path, lines: pd.DataFrame, new: pd.DataFrame, images: Mapping[tuple[str, str, str], bytes]
) -> None:
    """Write the test images of each line, unless the folder has those of a lower seed.

    Args:
        out: The folder of the study.
        lines: All results with the column `line`, which is of one data set.
        new: The results that were collected now.
        images: Their test images by colorizer, data set and settings.
    """
    first, first_new = (table.groupby(IMAGE_KEYS)["seed"].min() for table in (lines, new))
    names = lines.drop_duplicates(IMAGE_KEYS).set_index(IMAGE_KEYS)["line"]
    for key, content in images.items():
        if first_new[key] == first[key]:
            with files.atomic_write(study.image_path(out, names[key])) as temporary:
                temporary.write_bytes(content)


def list_experiments(experiments: list[Experiment]) -> str:
    """Return the settings of each experiment and the tracked metrics of its results."""
    texts = []
    for experiment in experiments:
        settings = {"seed": experiment.params["seed"], **experiment.changes}
        text = f"{experiment.name}: {' '.join(f'{key}={value}' for key, value in settings.items())}"
        texts.append(text[:WIDTH])
        rows = [read_result(experiment, *result)[0] for result in find_results(experiment)]
        if rows:
            columns = [key for key in TITLES if any(key in row for row in rows)]
            numbers = pd.DataFrame(rows).set_index("colorizer")[columns].rename_axis(None)
            texts.append(
                numbers.to_string(na_rep="", float_format="{:.4g}".format, line_width=WIDTH)
            )
    return "\n".join(texts)


def parse_options() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.table",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("experiments", nargs="*", help="names or patterns (default: all)")
    parser.add_argument("--out", type=Path, help="the folder to write or to add to")
    parser.add_argument("--reference", help="the colorizer to compare with (default: resnet)")
    parser.add_argument(
        "--separate-settings",
        action="store_true",
        help="tabulate each setting of a colorizer as a line of its own",
    )
    options = parser.parse_args()
    if options.out is None and (options.reference or options.separate_settings):
        parser.error("--reference and --separate-settings need --out")
    return options


def add_to_study(new: Collection, out: Path, reference: str | None, separate_settings: bool) -> str:
    """Add results to a study's folder: the tables as CSV and Markdown, the figures and the page.

    Args:
        new: The results to add.
        out: The folder.
        reference: The line to compare the others with. None means resnet.
        separate_settings: Whether each setting becomes a line of its own.

    Returns:
        The tables in Markdown.

    Raises:
        UserError: A table in the folder is damaged, `reference` is not in the table, or a colorizer
            has several settings and `separate_settings` is false.
    """
    old = load_table(out / "results.csv", IDENTITY)
    results = replace_rows(old, new.results, IDENTITY)
    lines = name_lines(results, separate_settings)
    if reference and reference not in set(lines["line"]):
        names = ", ".join(dict.fromkeys(lines["line"]))
        raise UserError(f"--reference {reference}: the table has no such colorizer; it has {names}")
    curves = replace_rows(load_table(out / "curves.csv", CURVE_KEYS), new.curves, CURVE_KEYS)
    curves = curves.merge(results[CURVE_KEYS]) if len(curves) else curves
    decodings = replace_rows(load_table(out / "decodings.csv", IDENTITY), new.decodings, IDENTITY)
    for name, table in (("results", results), ("curves", curves), ("decodings", decodings)):
        if len(table):
            text = table.to_csv(index=False, float_format="%.6g")
            files.write_text(out / f"{name}.csv", text)
    figure_lines = study.separate_data_sets(lines)
    if len(old):
        old_lines = study.separate_data_sets(name_lines(old, separate_settings=True))
        rename_images(out, old_lines, figure_lines)
    write_images(out, figure_lines, new.results, new.images)
    study.write(out, figure_lines, curves, decodings)
    if len(decodings):
        decodings = decodings.merge(lines[[*IDENTITY, "line"]], on=IDENTITY)
    text = format_tables(lines, decodings, reference or "resnet")
    files.write_text(out / "tables.md", text + "\n")
    return text


def main() -> None:
    """Print the experiments, or write their results, tables and figures into a folder."""
    options = parse_options()
    experiments = find_experiments(options.experiments)
    if options.out is None:
        print(list_experiments(experiments))
        return
    new = collect(experiments)
    print(add_to_study(new, options.out, options.reference, options.separate_settings))


if __name__ == "__main__":
    run_main(main)
