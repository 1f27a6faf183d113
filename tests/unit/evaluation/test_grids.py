import numpy as np
import pytest
import torch
from PIL import Image

from colorpipe.evaluation import grids


def test_grids_of_the_same_images_are_combined(tmp_path):
    shades = {"gray": 0.2, "predicted": 0.4, "original": 0.8}
    rows = {name: torch.full((3, 3, 32, 32), shade) for name, shade in shades.items()}
    grids.write(tmp_path / "a.png", rows)
    grids.write(tmp_path / "b.png", rows | {"predicted": torch.full((3, 3, 32, 32), 0.6)})
    group = {"a": tmp_path / "a.png", "b": tmp_path / "b.png"}
    grids.combine(tmp_path / "all.png", [group, {"b": tmp_path / "b.png"}])
    pixels = np.asarray(Image.open(tmp_path / "all.png"))
    column = pixels[:, -20, 0].astype(int)  # through the last image of each row
    shown = [column[0], *column[1:][column[1:] != column[:-1]]]
    gray, a, b, original, gap = 51, 102, 153, 204, 255
    rows = [shade for shade in shown if shade != gap]
    assert rows == [gray, a, b, original, gray, b, original]
    assert pixels.shape[0] == 7 * (96 + grids.GAP) + grids.GROUP_GAP + grids.GAP


@pytest.mark.parametrize("side", [8, 32, 96, 200])
def test_cutting_a_grid_gives_its_images_back(tmp_path, side):
    generator = torch.Generator().manual_seed(0)
    rows = {name: torch.rand(5, 3, side, side, generator=generator) for name in grids.ROWS}
    grids.write(tmp_path / "grid.png", rows)
    cut = grids.read_images(tmp_path / "grid.png")
    for name, images in rows.items():
        assert np.array_equal(np.array(cut[name]), grids.to_uint8(images))
