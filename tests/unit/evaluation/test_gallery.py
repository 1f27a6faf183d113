import base64
import io
import json

import numpy as np
import torch
from PIL import Image

from colorpipe.evaluation import gallery, grids


def test_images_are_chosen_by_their_errors():
    errors = torch.tensor([5.0, 1.0, 4.0, 2.0, 3.0, 9.0, 8.0, 7.0, 6.0, 0.0, 10.0, 11.0])
    kinds = gallery.choose(errors)
    assert kinds["best"] == [9, 1, 3, 4, 2, 0]
    assert kinds["worst"] == [11, 10, 5, 6, 7, 8]
    assert kinds["median"] == [4, 2, 0, 8, 7, 6]
    assert sorted(gallery.choose(errors[:3])["worst"]) == [0, 1, 2]


def test_a_gallery_holds_errors_and_images(tmp_path):
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    renderings = {"gray": images * 0.2, "predicted": images * 0.5, "original": images}
    path = tmp_path / "gallery.json"
    errors = torch.tensor([1.5, 2.5])
    gallery.write(path, {"best": [4, 7]}, [4, 7], errors, renderings)
    content = json.loads(path.read_text())
    assert content["kinds"] == {"best": [4, 7]}
    assert content["images"]["7"].keys() == {"mse", "predicted", "original"}
    assert content["images"]["7"]["mse"] == 2.5
    png = base64.b64decode(content["images"]["7"]["predicted"])
    pixels = np.asarray(Image.open(io.BytesIO(png)))
    assert (pixels == grids.to_uint8(images * 0.5)[1]).all()
