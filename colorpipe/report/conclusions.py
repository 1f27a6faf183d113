"""What to conclude from the results table, in sentences."""

import pandas as pd

from colorpipe.report.tables import NO_COLOR, ORIGINAL, TRIVIAL

RGB = {"RGB PSNR": "PSNR {:.2f} dB", "RGB SSIM": "SSIM {:.3f}"}  # higher is better


def conclusions(table: pd.DataFrame) -> list[str]:
    """For each data set: the lowest squared error of ab, the originals' colorfulness, and who beats no color in RGB."""
    sentences = []
    for data, rows in table.groupby("data", sort=False):
        colorizers, baseline = (
            rows[~rows["colorizer"].isin(TRIVIAL)],
            rows[rows["colorizer"] == NO_COLOR],
        )
        best = colorizers.loc[colorizers["ab MSE"].idxmin()]
        gray = f"; no color at all has {baseline['ab MSE'].iloc[0]:.1f}" if len(baseline) else ""
        sentences.append(
            f"On {data} ({best['n']} test images) the lowest squared error of ab is {best['colorizer']}'s, "
            f"{best['ab MSE']:.1f} Lab units squared{gray}."
        )
        original = rows[rows["colorizer"] == ORIGINAL]
        if "colorfulness" in table and len(original) and len(colorizers) > 1:
            sentences.append(
                in_colorfulness(colorizers, best, float(original["colorfulness"].iloc[0]))
            )
        if len(baseline):
            sentences += in_rgb(colorizers, baseline.iloc[0])
    return sentences


def in_colorfulness(colorizers: pd.DataFrame, best: "pd.Series[float]", original: float) -> str:
    """Which colorizer is nearest to the originals' colorfulness, and what that costs in squared error."""
    near = colorizers.loc[(colorizers["colorfulness"] - original).abs().idxmin()]
    sentence = f"Nearest to the originals' colorfulness of {original:.1f} is {near['colorizer']}'s {near['colorfulness']:.1f}"
    if near["colorizer"] == best["colorizer"]:
        return f"{sentence}."
    return (
        f"{sentence} (seed {near['seed']:.0f}), at {near['ab MSE'] - best['ab MSE']:.1f} more in squared error than "
        f"{best['colorizer']}, whose is {best['colorfulness']:.1f}."
    )


def in_rgb(colorizers: pd.DataFrame, gray: "pd.Series[float]") -> list[str]:
    """Which colorizers are nearer to the originals than no color in RGB too, in both PSNR and SSIM, and which are not."""

    def numbers(row: "pd.Series[float]") -> str:
        return ", ".join(text.format(row[column]) for column, text in RGB.items())

    columns = list(RGB)
    beats = (colorizers[columns] > gray[columns]).all(axis=1)
    nearer = colorizers[beats]["colorizer"].tolist()
    others = [f"{row['colorizer']} ({numbers(row)})" for _, row in colorizers[~beats].iterrows()]
    sentences = [f"In RGB, too, these beat no color: {', '.join(nearer)}."] if nearer else []
    if others:
        sentences.append(
            f"In RGB these do not beat no color ({numbers(gray)}): {', '.join(others)}."
        )
    return sentences
