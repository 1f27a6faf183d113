"""The page's test images: the grid of each colorizer, and the best, median and worst images."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from colorpipe.evaluation import grids
from colorpipe.evaluation.gallery import encode_png

MAX_FACTOR = 8  # images are enlarged by whole factors, at most by this one
# Largest size of an image in pixels: in the slider, in the grid, in the grid on a phone, and in the
# strip of thumbnails.
LIMITS = {"hero": grids.MAX_SIDE, "cell": 96, "small": 72, "thumb": 64}
SLIDER = 200  # an image that stays smaller is too small for a slider


@dataclass(frozen=True)
class Examples:
    """The test images of a data set, as the colorizers predict them.

    Attributes:
        data: The data set.
        side: The size of an image in pixels.
        rows: The images as base64 PNG by row: "gray", the colorizers' names, and "original".
    """

    data: str
    side: int
    rows: dict[str, list[str]]

    @property
    def sizes(self) -> dict[str, int]:
        """The displayed sizes in pixels. Larger images are shrunk to the limit."""
        return {
            name: self.side * min(MAX_FACTOR, limit // self.side) or limit
            for name, limit in LIMITS.items()
        }

    @property
    def style(self) -> str:
        """The sizes as CSS variables. Pixels stay sharp unless an image is shrunk."""
        return "; ".join(
            f"--{name}: {size}px; --{name}-rendering: {'auto' if size < self.side else 'pixelated'}"
            for name, size in self.sizes.items()
        )

    @property
    def has_slider(self) -> bool:
        """Return whether the images are large enough for a slider."""
        return self.sizes["hero"] >= SLIDER


def load_examples(paths: Mapping[str, Path], data: Mapping[str, str]) -> list[Examples]:
    """Return the images of the grids, by data set.

    Args:
        paths: The grid of each colorizer. The grids of a data set show the same images.
        data: The data set of each colorizer.
    """
    examples = []
    for data_set in dict.fromkeys(data[name] for name in paths):
        names = [name for name in paths if data[name] == data_set]
        cut = {name: grids.read_images(paths[name]) for name in names}
        first = cut[names[0]]
        rows = {"gray": first["gray"]}
        rows |= {name: images["predicted"] for name, images in cut.items()}
        rows["original"] = first["original"]
        encoded = {name: [encode_png(image) for image in row] for name, row in rows.items()}
        examples.append(Examples(data_set, len(first["gray"][0]), encoded))
    return examples


def gallery_images(gallery: Mapping[str, Any]) -> dict[str, list[Mapping[str, Any]]]:
    """Return the images of a gallery by kind: "best", "median" and "worst".

    An image has the keys number, mse, and "predicted" and "original" as base64 PNG.
    """
    images = gallery["images"]
    return {
        kind: [{"number": number, **images[str(number)]} for number in gallery["kinds"][kind]]
        for kind in ("best", "median", "worst")
    }
