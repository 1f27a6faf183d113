"""Crops of 32x32 pixels of the color photographs inside the scikit-image package.

They are real photographs and need no download.
"""

import hashlib
import itertools
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path

import numpy as np
import skimage

from colorpipe.config import DatasetConfig
from colorpipe.data import images
from colorpipe.data.dataset import Array, Dataset, Images
from colorpipe.runtime.errors import UserError

FOLDER = Path(skimage.__file__).parent / "data"
# Each photograph is first shrunk by this factor, to 450 to 750 pixels on the longer side.
# motorcycle_right.png is left out because it is the right view of the stereo pair with
# motorcycle_left.png, and color.png because it is a drawing.
PHOTOGRAPHS = {
    "astronaut.png": 1,
    "chelsea.png": 1,
    "coffee.png": 1,
    "hubble_deep_field.jpg": 2,
    "ihc.png": 1,
    "motorcycle_left.png": 1,
    "retina.jpg": 2,
    "rocket.jpg": 1,
}


def check_source(key: str, settings: DatasetConfig) -> None:
    """Check the source in the section `key` of params.yaml.

    Raises:
        UserError: The source is not "bundled".
    """
    if settings.source != "bundled":
        raise UserError(f"{key}.source: should be 'bundled', not {settings.source!r}")


def describe_source(key: str, settings: DatasetConfig) -> dict[str, str]:
    """Return what source.json holds: the md5 of the photographs, one after another.

    Raises:
        UserError: The installed photographs have another md5 than `settings`.
    """
    check_source(key, settings)
    _read_files(settings.md5)
    return {"md5": settings.md5}


def build(config: DatasetConfig, source: Mapping[str, str]) -> Dataset:
    """Return the crops at `config.size` pixels per side.

    An area is 128 pixels wide and has four crops at full scale, four at half and one at a quarter.
    """
    return read_crops(source, 32, area=128, strides={1: 64, 2: 64, 4: 128}).resized(config.size)


def read_crops(source: Mapping[str, str], size: int, area: int, strides: dict[int, int]) -> Dataset:
    """Return crops of the photographs. A crop's label says which photograph it is from.

    Each photograph is divided into square areas. All crops of an area, at every scale, are in the
    training set or all in the test set, so no pixel of a test crop is in a training crop. The areas
    of photos and photos96 overlap, so do not test a colorizer on one of them if it was trained on
    the other.

    Args:
        source: Content of source.json.
        size: Width and height of a crop, in pixels.
        area: Width and height of an area, in pixels.
        strides: Scales and strides of the crops; see `cut_crops`.

    Raises:
        UserError: The installed photographs have another md5 than `source`.
    """
    train: list[tuple[Array, int, int]] = []
    test: list[tuple[Array, int, int]] = []
    contents = _read_files(source["md5"])
    groups = itertools.count()
    for label, (name, factor) in enumerate(PHOTOGRAPHS.items()):
        photograph = shrink(images.read(Path(name), BytesIO(contents[name])).rgb, factor)
        for is_test, square in _split_areas(photograph, area):
            group = next(groups)
            crops = [(crop, label, group) for crop in cut_crops(square, size, strides)]
            (test if is_test else train).extend(crops)
    return Dataset(_stack(train), _stack(test), tuple(Path(name).stem for name in PHOTOGRAPHS))


def _split_areas(photograph: Array, area: int) -> Iterator[tuple[bool, Array]]:
    """Yield whether each square area of a photograph is for testing, and its pixels."""
    for row in range(photograph.shape[0] // area):
        for column in range(photograph.shape[1] // area):
            top, left = row * area, column * area
            yield is_test_area(row, column), photograph[top : top + area, left : left + area]


def _stack(crops: list[tuple[Array, int, int]]) -> Images:
    pixels, labels, groups = zip(*crops, strict=True)
    return Images(np.array(pixels), np.array(labels), np.array(groups))


def is_test_area(row: int, column: int) -> bool:
    """Return whether an area is for testing: every fifth area, in a knight's-move pattern."""
    return (2 * row + column) % 5 == 1


def shrink(image: Array, factor: int) -> Array:
    """Shrink an image to 1 / `factor` of its width and height.

    Each pixel is the rounded mean of a square of pixels. Rows and columns that do not fill a square
    are cut off.

    Args:
        image: Image of shape (H, W, 3), uint8.
        factor: Width of a square, in pixels.

    Returns:
        Image of shape (H // factor, W // factor, 3), uint8.
    """
    height, width = (size // factor for size in image.shape[:2])
    squares = image[: height * factor, : width * factor].reshape(height, factor, width, factor, 3)
    shrunk: Array = np.round(squares.mean(axis=(1, 3))).astype(np.uint8)
    return shrunk


def cut_crops(area: Array, size: int, strides: dict[int, int]) -> list[Array]:
    """Return square crops of an area.

    Args:
        area: Image of shape (H, W, 3), uint8.
        size: Width and height of a crop, in pixels.
        strides: Distance of neighboring crops, in pixels of the area, for each scale. A crop at
            scale s covers size * s pixels of the area and is shrunk by s.

    Returns:
        Images of shape (3, size, size), uint8.
    """
    crops = []
    for scale, stride in strides.items():
        extent = size * scale
        for top in range(0, area.shape[0] - extent + 1, stride):
            for left in range(0, area.shape[1] - extent + 1, stride):
                crop = area[top : top + extent, left : left + extent]
                crops.append(shrink(crop, scale).transpose(2, 0, 1))
    return crops


def _read_files(md5: str) -> dict[str, bytes]:
    """Return the photographs' files by name. Raise UserError if they do not have this md5."""
    paths = [FOLDER / name for name in PHOTOGRAPHS]
    contents = {path.name: path.read_bytes() for path in paths if path.is_file()}
    installed = hashlib.md5(b"".join(contents.values()), usedforsecurity=False).hexdigest()
    if installed != md5:
        raise UserError(
            f"the photographs of the installed scikit-image have the md5 {installed}, not {md5!r}: "
            "install the version in requirements.lock, or correct the md5 in params.yaml"
        )
    return contents
