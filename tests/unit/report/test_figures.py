import base64

import pandas as pd
import pytest

from colorpipe.report import figures

METRICS = [f"{part}_{metric}" for part in ("train", "val") for metric in ("loss", "ssim", "psnr")]


@pytest.fixture
def saved(monkeypatch):
    """Record the figures that are saved instead of writing them."""
    saved = []
    monkeypatch.setattr(figures, "save", lambda figure, path: saved.append(figure))
    return saved


def test_curves_of_several_seeds_are_their_mean_and_deviation(tmp_path, saved):
    seeds = [
        pd.DataFrame({"epoch": [1, 2], **{metric: [first, 0.5] for metric in METRICS}})
        for first in (0.1, 0.2, 0.6)
    ]
    curves = {"a": pd.concat(seeds), "b": seeds[0]}
    figures.draw_training_curves(tmp_path / "curves.png", curves, {"a": "mse", "b": "mse"})
    (figure,) = saved
    assert len(figure.axes) == 3
    for panel in figure.axes:
        a, b = panel.lines[0], panel.lines[2]
        assert a.get_ydata().tolist() == pytest.approx([0.3, 0.5])
        assert b.get_ydata().tolist() == [0.1, 0.5]
        assert len(panel.collections) == 2  # training and validation of a; b has no deviation
        edges = panel.collections[0].get_paths()[0].vertices[:, 1]
        assert (edges.min(), edges.max()) == pytest.approx((0.3 - 0.2646, 0.3 + 0.2646), abs=1e-3)


def test_each_loss_has_its_own_panel(tmp_path, saved):
    history = pd.DataFrame({"epoch": [1], **{metric: [0.5] for metric in METRICS}})
    losses = {"a": "mse", "b": "lpips"}
    figures.draw_training_curves(tmp_path / "curves.png", dict.fromkeys(losses, history), losses)
    titles = [panel.get_title() for panel in saved[0].axes]
    assert titles == ["Loss: MSE of ab", "Loss: LPIPS", "ab SSIM", "ab PSNR (dB)"]
    assert [len(panel.lines) for panel in saved[0].axes] == [2, 2, 4, 4]


def test_each_colorizer_has_a_small_figure_per_metric():
    history = pd.DataFrame({"epoch": [1, 2], **{metric: [0.5, 0.4] for metric in METRICS}})
    losses = {"a": "mse", "b": "lpips"}
    shown = figures.training_curve_figures(dict.fromkeys(losses, history), losses)
    assert list(shown) == ["Loss", "ab SSIM", "ab PSNR (dB)"]
    assert all(list(by_name) == ["a", "b"] for by_name in shown.values())
    again = figures.training_curve_figures(dict.fromkeys(losses, history), losses)
    assert shown == again  # the same bytes on every run


def test_the_text_of_an_svg_follows_the_theme():
    figure, (panel,) = figures.panel_grid(1, 1, width=2, height=2)
    panel.set_title("title")
    kind, data = figures.to_svg(figure).split(",")
    assert kind == "data:image/svg+xml;base64"
    text = base64.b64decode(data).decode()
    assert "prefers-color-scheme: dark" in text
    assert "currentColor" in text
    assert figures.INK not in text
