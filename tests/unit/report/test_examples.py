import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from colorpipe.evaluation import grids
from colorpipe.report.examples import Examples, load_examples


@pytest.mark.parametrize(
    ("side", "sizes", "has_slider"),
    [
        (16, {"hero": 128, "cell": 96, "small": 64, "thumb": 64}, False),
        (32, {"hero": 256, "cell": 96, "small": 64, "thumb": 64}, True),
        (96, {"hero": 288, "cell": 96, "small": 72, "thumb": 64}, True),
        (400, {"hero": 288, "cell": 96, "small": 72, "thumb": 64}, True),
    ],
)
def test_images_are_enlarged_by_whole_factors(side, sizes, has_slider):
    examples = Examples("photos", side, {})
    assert examples.sizes == sizes
    assert examples.has_slider == has_slider


def test_the_images_of_a_data_set_are_together(tmp_path):
    paths = {name: tmp_path / f"{name}.png" for name in ("a", "b", "large")}
    generator = torch.Generator().manual_seed(0)
    images = {
        name: {row: torch.rand(3, 3, side, side, generator=generator) for row in grids.ROWS}
        for name, side in (("a", 8), ("b", 8), ("large", 16))
    }
    for name, rows in images.items():
        grids.write(paths[name], rows)
    small, large = load_examples(paths, {"a": "x", "b": "x", "large": "y"})
    assert (small.data, small.side, large.data, large.side) == ("x", 8, "y", 16)
    assert list(small.rows) == ["gray", "a", "b", "original"]
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(small.rows["b"][2]))))
    assert np.array_equal(shown, grids.to_uint8(images["b"]["predicted"])[2])
