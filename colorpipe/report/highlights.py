"""The results table in three sentences per data set."""

import pandas as pd

from colorpipe.report.tables import GRAY_BASELINE, ORIGINAL, REFERENCE_ROWS


def highlights(table: pd.DataFrame) -> list[str]:
    """Return three sentences for each data set of the results table, as one string per data set.

    They name the colorizer with the lowest ab MSE, the colorizer nearest to the originals'
    colorfulness, and the scores of the gray baseline. A data set without a gray baseline has only
    the first sentence.
    """
    texts = []
    for data, rows in table.groupby("data", sort=False):
        colorizers = rows[~rows["colorizer"].isin(REFERENCE_ROWS)]
        best = colorizers.loc[colorizers["ab MSE"].idxmin()]
        sentences = [
            f"On {data} ({best['n']} test images), {best['colorizer']} has the lowest ab MSE, "
            f"{best['ab MSE']:.1f}."
        ]
        for original in rows.loc[rows["colorizer"] == ORIGINAL, "colorfulness"]:
            nearest = colorizers.loc[(colorizers["colorfulness"] - original).abs().idxmin()]
            sentences.append(
                f"{nearest['colorizer']} is nearest to the originals' colorfulness of "
                f"{original:.1f}, with {nearest['colorfulness']:.1f}."
            )
        for _, gray in rows[rows["colorizer"] == GRAY_BASELINE].head(1).iterrows():
            sentences.append(
                f"The gray baseline has an ab MSE of {gray['ab MSE']:.1f} and a colorfulness of "
                f"{gray['colorfulness']:.1f}."
            )
        texts.append(" ".join(sentences))
    return texts
