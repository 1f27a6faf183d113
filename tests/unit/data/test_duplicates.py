"""Near-duplicates are found, and different photographs are not."""

import io

import numpy as np
from PIL import Image, ImageOps
from skimage import data

from colorpipe.data import duplicates

SIZE = 64


def square(image: Image.Image) -> np.ndarray:
    fitted = ImageOps.fit(image, (SIZE, SIZE), Image.Resampling.LANCZOS)
    return np.asarray(fitted).transpose(2, 0, 1)


def saved_again(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


def group(images: list[np.ndarray]) -> list[int]:
    thumbnails = [duplicates.make_thumbnail(image) for image in images]
    return duplicates.group_duplicates(np.array(images), thumbnails).tolist()


def landscape(seed: int) -> Image.Image:
    """Return a sky over random ground. An average hash is the same for all seeds."""
    rng = np.random.default_rng(seed)
    pixels = np.empty((96, 96, 3), np.uint8)
    pixels[:48] = (170, 200, 230)
    spots = Image.fromarray(rng.integers(30, 130, (6, 12, 3), dtype=np.uint8))
    pixels[48:] = np.asarray(spots.resize((96, 48), Image.Resampling.BICUBIC))
    return Image.fromarray(pixels)


def test_copies_are_one_group_and_other_photographs_are_not():
    cat, coffee = (Image.fromarray(pixels) for pixels in (data.chelsea(), data.coffee()))
    small = cat.resize((cat.width // 3, cat.height // 3), Image.Resampling.LANCZOS)
    images = [cat, coffee, saved_again(cat, 40), saved_again(small, 80), saved_again(coffee, 30)]
    assert group([square(image) for image in [*images, landscape(0), landscape(1)]]) == [
        0, 1, 0, 0, 1, 2, 3
    ]  # fmt: skip


def test_pixels_decide_between_candidates():
    """A fine pattern vanishes in the small versions."""
    flat = np.full((3, SIZE, SIZE), 128, np.uint8)
    pattern = flat + 60 * (np.indices((SIZE, SIZE)).sum(axis=0) % 2 * 2 - 1)
    assert group([flat, pattern.astype(np.uint8), flat + 2]) == [0, 1, 0]


def test_groups_are_named(capsys):
    duplicates.print_groups(["a.jpg", "b.jpg", "new\nline.jpg"], np.array([0, 1, 0]))
    kept = "1 group of near-duplicates, each kept in one part of the split"
    assert capsys.readouterr().out == f"folder: {kept}: a.jpg = new\\nline.jpg\n"
    duplicates.print_groups(["a.jpg", "b.jpg"], np.array([0, 1]))
    assert capsys.readouterr().out == ""
