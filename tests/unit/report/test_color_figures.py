import itertools

import numpy as np
import pandas as pd
from matplotlib.text import Text

from colorpipe.report import color_figures
from colorpipe.report.tables import GRAY_BASELINE, ORIGINAL

NAMES = ["resnet", "densenet", "eccv", "unet", "unet_gan", "unet_rebalanced"]

PATHS = {"unet_rebalanced": [(24.0, 140.0), (28.0, 150.0), (35.0, 165.0)]}


def scores(errors):
    rows = [(name, "photos", 30 + index / 2, error) for index, (name, error) in enumerate(errors)]
    rows += [(GRAY_BASELINE, "photos", 0.0, 180.0), (ORIGINAL, "photos", 43.0, None)]
    rows.append(("resnet_large", "photos96", 20.0, 130.0))
    return pd.DataFrame(rows, columns=["colorizer", "data", "colorfulness", "ab MSE"])


def test_names_of_near_points_do_not_overlap(tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(color_figures, "save", lambda figure, path: saved.append(figure))
    table = scores([(name, 140.0 + 3 * index) for index, name in enumerate(NAMES)])
    color_figures.draw_error_against_colorfulness(tmp_path / "colorfulness.png", table, PATHS)
    (figure,) = saved
    figure.draw_without_rendering()
    texts = figure.axes[0].texts
    assert {text.get_text().strip() for text in texts} == {*NAMES, GRAY_BASELINE, "originals"}
    boxes = [Text.get_window_extent(text) for text in texts]
    assert not any(first.overlaps(second) for first, second in itertools.combinations(boxes, 2))
    lines = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 3]
    assert [line.get_xydata().tolist() for line in lines] == [[list(p) for p in PATHS[NAMES[-1]]]]
    along = np.linspace(0, 2, 200)
    path = [np.interp(along, range(3), column) for column in lines[0].get_xydata().T]
    points = figure.axes[0].transData.transform(np.column_stack(path))
    assert not any(box.contains(*point) for box in boxes for point in points)


def test_a_wide_range_of_errors_has_a_logarithmic_scale(monkeypatch):
    panels = []
    monkeypatch.setattr(color_figures, "_name_points", lambda *args: panels.append(args[1]))
    color_figures.colorfulness_figures(scores([("a", 50.0), ("b", 60.0)]), {})
    color_figures.colorfulness_figures(scores([("a", 100.0), ("b", 110.0)]), {})
    assert [panel.get_yscale() for panel in panels] == ["log", "linear"]


def test_a_data_set_with_one_colorizer_has_no_figure():
    figures = color_figures.colorfulness_figures(scores([("a", 100.0), ("b", 110.0)]), {})
    assert list(figures) == ["photos"]
