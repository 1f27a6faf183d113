"""The results table in three sentences per data set."""

import pandas as pd

from colorpipe.report.tables import GRAY_BASELINE, ORIGINAL, REFERENCE_ROWS


def highlights(table: pd.DataFrame) -> dict[str, list[str]]:
    """Return three Markdown sentences for each data set of the results table.

    They name the colorizer with the lowest ab MSE, the colorizer nearest to the originals'
    colorfulness, and the scores of the gray baseline. A data set without a gray baseline has only
    the first sentence.

    Args:
        table: Rows with the columns colorizer, data, "ab MSE" and colorfulness.
    """
    texts = {}
    for data, rows in table.groupby("data", sort=False):
        colorizers = rows[~rows["colorizer"].isin(REFERENCE_ROWS)]
        best = colorizers.loc[colorizers["ab MSE"].idxmin()]
        sentences = [
            f"**{best['colorizer']}** has the lowest error: a mean squared error of "
            f"**{best['ab MSE']:.1f}** in the color channels a and b (ab MSE)."
        ]
        for original in rows.loc[rows["colorizer"] == ORIGINAL, "colorfulness"]:
            nearest = colorizers.loc[(colorizers["colorfulness"] - original).abs().idxmin()]
            sentences.append(
                f"**{nearest['colorizer']}** has the colorfulness nearest to the originals': "
                f"**{nearest['colorfulness']:.1f}**, while the originals have {original:.1f}."
            )
        for _, gray in rows[rows["colorizer"] == GRAY_BASELINE].head(1).iterrows():
            sentences.append(
                "The **gray baseline**, which predicts a = b = 0, has an ab MSE of "
                f"**{gray['ab MSE']:.1f}** and a colorfulness of {gray['colorfulness']:.1f}."
            )
        texts[str(data)] = sentences
    return texts
