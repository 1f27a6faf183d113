"""Conversion of an image to sRGB, by its ICC profile or by a PNG's gAMA chunk."""

import functools
import io
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageCms

# Pillow's modes by the color space of a profile.
MODES = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK"}
NO_CHANGE = 2  # levels of 255; rounding changes a color by 1
SRGB_GAMMA = (0.45, 0.46)  # gAMA of sRGB is 0.45455
SRGB_CICP = bytes((1, 13, 0, 1))  # primaries, transfer, matrix and range of sRGB in a cICP chunk
MAX_CHUNKS = 1000  # chunks of a PNG before its pixels


def convert_to_srgb(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, list[str]]:
    """Convert an image to sRGB.

    A profile is applied unless it changes no color. Its name is ignored, because linear profiles
    have names with "sRGB" too.

    Args:
        image: An image of mode 1, L, RGB, CMYK, YCbCr or LAB.
        profile: The ICC profile, if there is one.

    Returns:
        The image and notes. If the profile does not fit, the image is returned as it is.
    """
    if image.mode in ("1", "YCbCr"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    if not profile:
        return _apply_gamma(image)
    if image.mode == "LAB":  # does not depend on a device
        return image, []
    try:
        source = ImageCms.getOpenProfile(io.BytesIO(profile))
        image = _match_space(image, source.profile.xcolor_space.strip())
        srgb = ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(source, srgb, image.mode, "RGB")
        if image.mode != "CMYK" and _is_identity(transform, image.mode):
            return image, []
        return ImageCms.applyTransform(image, transform) or image, []
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image, ["its ICC profile does not fit and is ignored"]


def has_unknown_cicp(file: BinaryIO) -> bool:
    """Return whether a PNG has a cICP chunk with another color space than sRGB.

    Pillow does not read this chunk. The file's position is restored.
    """
    position = file.tell()
    try:
        file.seek(8)
        for _ in range(MAX_CHUNKS):
            length, kind = int.from_bytes(file.read(4)), file.read(4)
            if kind == b"cICP":
                return file.read(length) != SRGB_CICP
            if kind in (b"IDAT", b""):
                break
            file.seek(length + 4, io.SEEK_CUR)
        return False
    finally:
        file.seek(position)


def _match_space(image: Image.Image, space: str) -> Image.Image:
    """Return an image in the mode that a profile takes. Raise ValueError if there is none."""
    mode = MODES.get(space)
    if image.mode == mode:
        return image
    if (image.mode, mode) == ("L", "RGB"):
        return image.convert("RGB")
    if (image.mode, mode) == ("RGB", "L"):
        red, green, blue = image.split()
        if red.tobytes() == green.tobytes() == blue.tobytes():
            return red
    raise ValueError(f"a profile for {space} does not fit an image of mode {image.mode}")


def _is_identity(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Return whether a transform changes no color noticeably."""
    probe = _make_probe(mode)
    before = np.asarray(probe.convert("RGB"), np.int16)
    after = np.asarray(ImageCms.applyTransform(probe, transform), np.int16)
    return bool(np.abs(after - before).max() <= NO_CHANGE)


@functools.cache
def _make_probe(mode: str) -> Image.Image:
    """Return an image of all grays, or of 18 levels per channel in all combinations."""
    if mode == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    grid = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1)
    return Image.fromarray(grid.reshape(len(levels), -1, 3))


def _apply_gamma(image: Image.Image) -> tuple[Image.Image, list[str]]:
    """Apply a PNG's gAMA chunk if there is no sRGB chunk and it is not sRGB's."""
    gamma = image.info.get("gamma", SRGB_GAMMA[0])
    if "srgb" in image.info or SRGB_GAMMA[0] <= gamma <= SRGB_GAMMA[1] or not 0.1 <= gamma <= 10:
        return image, []
    linear = (np.arange(256) / 255) ** (1 / gamma)
    encoded = np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
    table = (255 * encoded).round().astype(np.uint8).tolist()
    note = f"converted from gamma {gamma:.4g} (gAMA) to sRGB"
    return image.point(table * len(image.getbands())), [note]
