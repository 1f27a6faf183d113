"""The photographs of `photos` at 96x96, in STL-10's role."""

from pathlib import Path

from colorpipe.datasets.common import DataSet, bundle_photographs, read_photographs

ARCHIVE = "photos.tar"

bundle = bundle_photographs


def read(archive: Path, size: int = 96) -> DataSet:
    """Areas of 192 pixels: in each, nine overlapping crops at full scale and one at half scale."""
    return read_photographs(archive, size=96, area=192, scales={1: 48, 2: 192}).resized(size)
