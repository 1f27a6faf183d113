"""Classification of photographs as gray, toned or color."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps
from skimage import data

from colorpipe.data import gray

SIZE = 64


def square(image: Image.Image) -> np.ndarray:
    fitted = ImageOps.fit(image, (SIZE, SIZE), Image.Resampling.LANCZOS)
    return np.asarray(fitted).transpose(2, 0, 1)


COLOR = Image.fromarray(data.astronaut())
GRAY = COLOR.convert("L")


def stamped() -> Image.Image:
    image = GRAY.convert("RGB")
    ImageDraw.Draw(image).text((330, 470), "24 12 '98", fill=(255, 140, 30), font_size=30)
    return image


def noisy() -> Image.Image:
    noise = np.random.default_rng(0).normal(0, 6, (*GRAY.size, 3))
    return Image.fromarray((np.asarray(GRAY)[..., None] + noise).clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize(
    "image", [GRAY.convert("RGB"), stamped(), noisy()], ids=["gray", "stamped", "noisy"]
)
def test_gray_and_nearly_gray_photographs_are_gray(image):
    assert gray.classify(square(image)) == "gray"


TONES = {
    "sepia": ((20, 12, 5), (255, 240, 205)),
    "cyanotype": ((10, 20, 60), (230, 245, 250)),
    "faded": ((60, 45, 35), (225, 200, 160)),
}


@pytest.mark.parametrize("tone", TONES)
def test_toned_photographs_are_toned(tone):
    assert gray.classify(square(ImageOps.colorize(GRAY, *TONES[tone]))) == "toned"


def test_color_photographs_are_neither_gray_nor_toned():
    half = Image.blend(GRAY.convert("RGB"), COLOR, 0.5)  # faded colors
    photographs = [COLOR, half, *map(Image.fromarray, (data.chelsea(), data.coffee()))]
    sky = Image.linear_gradient("L").point(lambda value: value // 8)
    blue = ImageOps.colorize(sky, (90, 130, 190), (250, 252, 255))  # only sky
    for image in [*photographs, blue]:
        assert gray.classify(square(image)) == "color"
