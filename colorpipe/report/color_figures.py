"""The figure of error against colorfulness, with the names at the points."""

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.lines import Line2D
from matplotlib.text import Annotation, Text
from matplotlib.ticker import ScalarFormatter
from matplotlib.transforms import Bbox

from colorpipe.report.figures import COLORS, INK, panel_grid, save, tidy, to_svg
from colorpipe.report.tables import GRAY_BASELINE, ORIGINAL, REFERENCE_ROWS

SIZE = {"width": 4.8, "height": 3.6}  # of a panel in inches
LINE_BOXES = 50  # boxes that cover a line
LEADER = {"arrowstyle": "-", "color": INK, "linewidth": 0.6}
Point = tuple[float, float]  # colorfulness and ab MSE
Paths = Mapping[str, Sequence[Point]]  # by colorizer, from faithful to vivid
Place = tuple[float, float]  # distance from a marker to its name in points, and angle in degrees
DISTANCES = (8, 18, 30, 44)
PLACES = tuple(itertools.product(DISTANCES, (0, 180, 90, 270, 45, 135, 225, 315)))  # best first


def draw_error_against_colorfulness(path: Path, table: pd.DataFrame, paths: Paths) -> None:
    """Draw ab MSE against colorfulness, one panel per data set.

    Colorizers and the gray baseline are points. The originals' colorfulness is a dotted line. A
    colorizer with a path has its own color, and its path is a line with dots.

    Args:
        path: The PNG to write.
        table: Rows with the columns colorizer, data, "ab MSE" and colorfulness.
        paths: The decodings from faithful to vivid of some of the colorizers.
    """
    sets = list(dict.fromkeys(table["data"]))
    figure, panels = panel_grid(len(sets), columns=len(sets), **SIZE)
    points = []
    for panel, data in zip(panels, sets, strict=True):
        points.append(_draw_data_set(panel, table[table["data"] == data], paths))
        panel.set_title(data)
    for panel, named in zip(panels, points, strict=True):
        _name_points(FigureCanvasAgg(figure), panel, named)
    save(figure, path)


def colorfulness_figures(table: pd.DataFrame, paths: Paths) -> dict[str, str]:
    """Return the panels of `draw_error_against_colorfulness` by data set, as SVG data URLs.

    A data set with a single colorizer has no figure.
    """
    figures = {}
    for data, rows in table.groupby("data", sort=False):
        if rows.loc[~rows["colorizer"].isin(REFERENCE_ROWS), "colorizer"].nunique() > 1:
            figure, (panel,) = panel_grid(1, columns=1, **SIZE)
            points = _draw_data_set(panel, rows, paths)
            _name_points(FigureCanvasAgg(figure), panel, points)
            figures[str(data)] = to_svg(figure)
    return figures


def _draw_data_set(panel: Axes, rows: pd.DataFrame, paths: Paths) -> dict[str, Point]:
    """Draw the points, the paths and the originals' line. Return the points by name."""
    points: dict[str, Point] = {}
    path_colors = itertools.cycle(COLORS[1:])
    for _, row in rows[rows["colorizer"] != ORIGINAL].drop_duplicates("colorizer").iterrows():
        name = row["colorizer"]
        marker, color = ("s", "gray") if name == GRAY_BASELINE else ("o", COLORS[0])
        if name in paths:
            color = next(path_colors)
            panel.plot(*zip(*paths[name], strict=True), ".-", color=color, linewidth=1.2)
        points[name] = row["colorfulness"], row["ab MSE"]
        panel.plot(*points[name], marker, color=color, markersize=7)
    for colorfulness in rows.loc[rows["colorizer"] == ORIGINAL, "colorfulness"].head(1):
        panel.axvline(colorfulness, color=INK, linestyle=":", linewidth=1)
        top = panel.get_xaxis_transform()  # x in data, y from 0 at the bottom to 1 at the top
        panel.text(colorfulness, 1, "originals ", transform=top, ha="right", va="top")
    on_paths = [mse for name in points for _, mse in paths.get(name, ())]
    errors = pd.Series([*rows["ab MSE"].dropna(), *on_paths])
    if errors.max() > 3 * errors.min():  # on a linear scale, most points would overlap
        panel.set_yscale("log")
        panel.yaxis.set_major_formatter(ScalarFormatter())
        panel.yaxis.set_minor_formatter(ScalarFormatter())
    panel.margins(0.12)
    panel.set(xlabel="colorfulness", ylabel="ab MSE (squared Lab units)")
    tidy(panel)
    return points


def _name_points(canvas: FigureCanvasAgg, panel: Axes, points: Mapping[str, Point]) -> None:
    """Write each name next to its marker, without an overlap if there is room."""
    canvas.figure.draw_without_rendering()  # computes the layout
    renderer = canvas.get_renderer()
    drawn = [text.get_window_extent(renderer) for text in panel.texts]
    drawn += [box for line in panel.lines for box in _boxes_along(line)]
    names: list[Bbox] = []
    for name, point in points.items():
        boxes = {place: _measure_name(renderer, panel, name, point, place) for place in PLACES}
        conflicts = {
            place: _count_conflicts(panel, point, box, drawn, names) for place, box in boxes.items()
        }
        best = min(PLACES, key=conflicts.__getitem__)  # on a tie, the first place
        _write_name(panel, name, point, best)
        names.append(boxes[best])


def _measure_name(
    renderer: RendererBase, panel: Axes, name: str, point: Point, place: Place
) -> Bbox:
    """Return the box in pixels that a name would fill at a place."""
    label = _write_name(panel, name, point, place)
    label.update_positions(renderer)
    box = Text.get_window_extent(label, renderer)
    label.remove()
    return box


def _count_conflicts(
    panel: Axes, point: Point, box: Bbox, drawn: list[Bbox], names: list[Bbox]
) -> int:
    """Return a penalty: 10 for an overlap with a name or the border, 1 for another overlap."""
    x, y = panel.transData.transform(point)
    leader = Bbox.from_extents(x, y, (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2)
    outside = not (panel.bbox.contains(*box.min) and panel.bbox.contains(*box.max))
    on_names = box.count_overlaps(names) + leader.count_overlaps(names)
    return 10 * (on_names + outside) + box.count_overlaps(drawn)


def _boxes_along(line: Line2D) -> list[Bbox]:
    """Return boxes in pixels that cover a marker, or a line and the dots on it."""
    vertices = np.asarray(line.get_transform().transform_path(line.get_path()).vertices)
    if len(vertices) == 1:
        return [line.get_window_extent()]
    steps = np.linspace(0, len(vertices) - 1, LINE_BOXES)
    along = [np.interp(steps, range(len(vertices)), column) for column in vertices.T]
    return [Bbox.from_bounds(x - 3, y - 3, 6, 6) for x, y in zip(*along, strict=True)]


def _write_name(panel: Axes, name: str, point: Point, place: Place) -> Annotation:
    """Write the name of a point at a place next to it."""
    distance, angle = place
    x, y = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    return panel.annotate(
        name,
        point,
        (distance * x, distance * y),
        textcoords="offset points",
        fontsize=9,
        ha="center" if abs(x) < 0.1 else "left" if x > 0 else "right",
        va="center" if abs(y) < 0.1 else "bottom" if y > 0 else "top",
        arrowprops=LEADER if distance > DISTANCES[0] else None,
    )
