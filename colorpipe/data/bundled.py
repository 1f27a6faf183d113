"""The photographs inside the scikit-image package, packed as an archive and cut into crops: real images, no download."""

import tarfile
from io import BytesIO
from pathlib import Path

import numpy as np
import skimage

from colorpipe import files
from colorpipe.data import images
from colorpipe.data.archives import read_members
from colorpipe.data.dataset import Array, Dataset, Images
from colorpipe.runtime.errors import UserError

# The color photographs in scikit-image's data folder, and the factor by which each is first shrunk: to 500 to 750 pixels.
# motorcycle_right is the other eye of motorcycle_left, and color.png is a drawing: both are left out.
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


def bundle_photographs(archive: Path) -> None:
    """Pack the photographs of the installed scikit-image into a tar archive, deterministically."""
    folder = Path(skimage.__file__).parent / "data"
    with (
        files.atomic_write(archive) as temporary,
        tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for name in PHOTOGRAPHS:
            if not (folder / name).is_file():
                raise UserError(
                    f"scikit-image has no {name}: install the version in requirements.lock"
                )
            content = (folder / name).read_bytes()
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, BytesIO(content))


def read_photographs(archive: Path, *, size: int, area: int, scales: dict[int, int]) -> Dataset:
    """Crops (size x size pixels) of the bundled photographs; the label says which photograph.

    A photograph is divided into squares of `area` pixels. All crops of an area, at every scale (see `crops`), are in
    train or all in test: no pixel of a test crop is ever in a train crop.
    """
    parts: dict[bool, list[tuple[Array, int, int]]] = {True: [], False: []}
    contents = read_members(archive, PHOTOGRAPHS)
    number = 0
    for label, (name, factor) in enumerate(PHOTOGRAPHS.items()):
        photograph = shrink(images.read(Path(name), BytesIO(contents[name])).rgb, factor)
        for row in range(photograph.shape[0] // area):
            for column in range(photograph.shape[1] // area):
                square = photograph[
                    row * area : (row + 1) * area, column * area : (column + 1) * area
                ]
                part = parts[is_test_area(row, column)]
                part += [(crop, label, number) for crop in crops(square, size, scales)]
                number += 1
    train, test = (Images(*map(np.array, zip(*parts[key], strict=True))) for key in (False, True))
    return Dataset(train, test, tuple(Path(name).stem for name in PHOTOGRAPHS))


def is_test_area(row: int, column: int) -> bool:
    """Every fifth area is for testing, spread like a knight's moves."""
    return (2 * row + column) % 5 == 1


def shrink(image: Array, factor: int) -> Array:
    """An image (H, W, 3) uint8 at 1 / `factor` of its size: each pixel the rounded mean of a square, the rest cut off."""
    height, width = (size // factor for size in image.shape[:2])
    squares = image[: height * factor, : width * factor].reshape(height, factor, width, factor, 3)
    shrunk: Array = np.round(squares.mean(axis=(1, 3))).astype(np.uint8)
    return shrunk


def crops(area: Array, size: int, scales: dict[int, int]) -> list[Array]:
    """Square crops (3, size, size) of an area (H, W, 3): for each scale, size * scale pixels wide, every `stride` pixels.

    `scales` maps each scale, a whole number, to its stride in pixels of the area.
    """
    found = []
    for scale, stride in scales.items():
        extent = size * scale
        for top in range(0, area.shape[0] - extent + 1, stride):
            for left in range(0, area.shape[1] - extent + 1, stride):
                crop = area[top : top + extent, left : left + extent]
                found.append(shrink(crop, scale).transpose(2, 0, 1))
    return found
