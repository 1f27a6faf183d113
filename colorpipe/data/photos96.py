"""Crops of 96x96 pixels of the photographs of `photos`: larger images without a download."""

from collections.abc import Mapping

from colorpipe.config import DatasetConfig
from colorpipe.data.dataset import Dataset
from colorpipe.data.photos import check_source, describe_source, read_crops

__all__ = ["build", "check_source", "describe_source"]


def build(config: DatasetConfig, source: Mapping[str, str]) -> Dataset:
    """Return the crops at `config.size` pixels per side.

    An area is 192 pixels wide and has nine overlapping crops at full scale and one at half scale.
    """
    return read_crops(source, 96, area=192, strides={1: 48, 2: 192}).resized(config.size)
