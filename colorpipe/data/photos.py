"""32x32 crops of the color photographs inside scikit-image: real photographs, no download."""

from pathlib import Path

from colorpipe.data.bundled import bundle_photographs, read_photographs
from colorpipe.data.dataset import Dataset

ARCHIVE = "photos.tar"

bundle = bundle_photographs


def read(archive: Path, size: int = 32) -> Dataset:
    """Areas of 128 pixels: in each, four crops at full scale, four at half scale, one at a quarter."""
    return read_photographs(archive, size=32, area=128, scales={1: 64, 2: 64, 4: 128}).resized(size)
