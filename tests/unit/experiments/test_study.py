import pandas as pd
import pytest

from experiments.seeds import half_width
from experiments.study import average_scores


def test_scores_are_means_with_the_papers_numbers():
    rows = [
        ("resnet", 0, "mse", 140.0, 30.0),
        ("resnet", 1, "mse", 150.0, 30.0),
        ("resnet_lpips", 0, "lpips, random VGG", 150.0, 30.0),
        ("gray baseline", 0, "mse", 190.0, 30.0),
    ]
    columns = ["colorizer", "seed", "loss", "test.mse", "original_colorfulness"]
    results = pd.DataFrame(rows, columns=columns).assign(data="cifar10", n=9)
    scores, half_widths = average_scores(results.assign(line=results["colorizer"]))
    scores = scores.set_index("colorizer")
    assert scores.loc["resnet", "ab MSE"] == 145
    assert scores.loc["resnet", "paper's loss"] == 147.256
    assert pd.isna(scores.loc["resnet_lpips", "paper's loss"])  # the paper's VGG is ImageNet's
    assert scores.loc["resnet_lpips", "paper's SSIM"] == 0.207
    assert scores.loc["original", "colorfulness"] == 30
    # 5 times t with one degree of freedom
    assert half_widths["ab MSE"].iloc[0] == pytest.approx(63.53, abs=0.01)
    assert half_widths["ab MSE"].iloc[1:].isna().all()


def test_missing_values_do_not_narrow_an_interval():
    assert half_width(pd.Series([1.0, 2.0, 3.0, None, None])) == half_width(
        pd.Series([1.0, 2.0, 3.0])
    )
