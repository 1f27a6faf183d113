"""The photographs of `photos` at 96x96, in place of STL-10."""

from pathlib import Path

from colorpipe.data.bundled import bundle_photographs, read_photographs
from colorpipe.data.dataset import Dataset

ARCHIVE = "photos.tar"

bundle = bundle_photographs


def read(archive: Path, size: int = 96) -> Dataset:
    """Areas of 192 pixels: in each, nine overlapping crops at full scale and one at half scale."""
    return read_photographs(archive, size=96, area=192, scales={1: 48, 2: 192}).resized(size)
