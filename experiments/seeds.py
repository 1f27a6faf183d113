"""Means over seeds, and paired differences with 95 % intervals of Student's t distribution."""

from collections.abc import Mapping, Sequence

import pandas as pd
import scipy.stats


def half_width(values: pd.Series) -> float:
    """Return half the width of the 95 % t-interval of a mean, or NaN for fewer than two values.

    Missing values do not count.
    """
    values = values.dropna()
    return float(scipy.stats.t.ppf(0.975, len(values) - 1) * values.sem())


def tabulate(rows: pd.DataFrame, keys: Sequence[str], titles: Mapping[str, str]) -> pd.DataFrame:
    """Return the mean and the standard deviation of metrics over seeds as text.

    Args:
        rows: One row per result and seed.
        keys: The columns that tell the lines of the table apart.
        titles: The title of each metric by its column in `rows`. Metrics without values are left
            out.
    """
    lines = []
    for values, group in rows.groupby(list(keys), sort=False):
        line = {**dict(zip(keys, values, strict=True)), "seeds": group["seed"].nunique()}
        for metric, title in titles.items():
            scores = group[metric].dropna() if metric in group else pd.Series(dtype=float)
            if len(scores):
                line[title] = f"{scores.mean():.4g}"
            if len(scores) > 1:
                line[title] += f" ± {scores.std():.2g}"
        lines.append(line)
    return pd.DataFrame(lines).fillna("")


def compare(
    rows: pd.DataFrame,
    column: str,
    reference: str,
    titles: Mapping[str, str],
    keys: Sequence[str] = (),
) -> pd.DataFrame:
    """Return paired differences to a reference over the seeds of both, with 95 % intervals.

    Losses are compared only if both are of the same kind.

    Args:
        rows: One row per result and seed.
        column: The column whose values are compared, such as "colorizer".
        reference: The value of the column to compare with.
        titles: The title of each metric by its column in `rows`.
        keys: Columns that are equal in both results of a pair, besides the seed.
    """
    is_reference = rows[column] == reference
    pairs = rows[~is_reference].merge(
        rows[is_reference], on=["seed", *keys], suffixes=("", "|reference")
    )
    lines = []
    for values, group in pairs.groupby([*keys, column], sort=False):
        same_loss = (group["loss"] == group["loss|reference"]).all()
        cells = {}
        for metric, title in titles.items():
            if metric not in rows or (metric == "test.loss" and not same_loss):
                continue
            differences = group[metric] - group[f"{metric}|reference"]
            if len(differences) > 1 and differences.notna().all():
                cells[title] = f"{differences.mean():+.4g} ± {half_width(differences):.2g}"
        if cells:
            line = dict(zip([*keys, column], values, strict=True))
            line[column] = f"{line[column]} - {reference}"
            lines.append({**line, "seeds": len(group), **cells})
    return pd.DataFrame(lines).fillna("")
