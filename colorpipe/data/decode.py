"""Steps of reading an image: the page, the orientation, the depth and the transparency."""

from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageOps
from PIL.ExifTags import Base

from colorpipe.data.dataset import Array
from colorpipe.runtime.errors import UserError

# Tags of TIFF and their values.
SUBFILE_TYPE, REDUCED_OR_MASK = 254, 1 | 4
OLD_SUBFILE_TYPE, OLD_REDUCED = 255, 2
SUB_IMAGES = 330
BITS, PHOTOMETRIC, WHITE_IS_ZERO, MAX_VALUE = 258, 262, 0, 281
SCANNER_PEAKS = {2**10 - 1, 2**12 - 1, 2**14 - 1}  # white in files of 10, 12 and 14 bits
FULL_PEAK = 2**16 - 1
SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that swap width and height
MAX_PAGES = 32  # pages of a TIFF that are looked at; a damaged file may claim to have many
MAX_HEADER = 1 << 20  # bytes of a HEIC file's description that are searched


def select_page(image: Image.Image) -> list[str]:
    """Select the first full page of a TIFF, and return notes about the file's other images.

    Some scanners and editors store a reduced copy of the photograph as the first page.

    Raises:
        UserError: The pages are previews of a raw image, as in a DNG or NEF file.
    """
    if image.format != "TIFF":
        # MPO repeats one image in several sizes.
        several = image.format != "MPO" and getattr(image, "n_frames", 1) > 1
        return ["only the first of its images is used"] if several else []
    full: list[int] = []
    for number in range(MAX_PAGES):
        try:
            image.seek(number)
        except Exception:  # the end of the file, or a damaged or unknown page
            break
        tags = image.tag_v2  # type: ignore[attr-defined]
        is_reduced = tags.get(SUBFILE_TYPE, 0) & REDUCED_OR_MASK
        if not is_reduced and tags.get(OLD_SUBFILE_TYPE) != OLD_REDUCED:
            full.append(number)
        if len(full) == 2:
            break
    image.seek(full[0] if full else 0)
    if not full and SUB_IMAGES in image.tag_v2:  # type: ignore[attr-defined]
        raise UserError("it is a raw camera file: convert it to JPEG or TIFF first")
    if not full:
        return ["it holds only a reduced copy of the photograph"]
    return ["only the first of its images is used"] if len(full) > 1 else []


def describe_depth(image: Image.Image) -> list[str]:
    """Return a note if an image has more than 8 bits per channel. Loading it may lose the depth."""
    bits = image.info.get("bit_depth", 8)  # of HEIC
    if image.mode.startswith("I;16") or any(
        ";16" in str(tile) for tile in getattr(image, "tile", ())
    ):
        bits = max(getattr(image, "tag_v2", {}).get(BITS, (16,)))
    return [f"{bits} bits reduced to 8"] if bits > 8 else []


def scale_transparent_color(image: Image.Image) -> None:
    """Scale the transparent color of a PNG to 8 bits. Pillow scales only the pixels.

    In an image with 16 bits per channel, all colors with the same high bytes become transparent.
    """
    key = image.info.get("transparency")
    if image.format != "PNG" or key is None:
        return
    modes = str(getattr(image, "tile", ""))
    if "RGB;16B" in modes:
        image.info["transparency"] = tuple(value >> 8 for value in key)
    for bits in (2, 4):
        if f"'L;{bits}'" in modes:
            image.info["transparency"] = key * 255 // (2**bits - 1)


def turn_upright(image: Image.Image, is_rotated: bool) -> tuple[Image.Image, list[str]]:
    """Apply the EXIF orientation to a loaded image.

    pillow-heif resets the orientation of a HEIC file, and decodes a rotation in the container. If
    there is no such rotation, the orientation is applied here, as for a JPEG.

    Args:
        image: A loaded image.
        is_rotated: Whether pillow-heif has decoded a rotation in the container.
    """
    try:
        orientation = image.info.get("original_orientation")
        if orientation and not is_rotated:
            image.getexif()[Base.Orientation] = orientation
        return ImageOps.exif_transpose(image), []
    except Exception:  # damaged EXIF can raise anything
        return image, ["its orientation is unknown, because its EXIF data is damaged"]


def has_rotation_box(file: BinaryIO) -> bool:
    """Return whether a HEIC file's container rotates or mirrors its image.

    The file's position is restored.
    """
    position = file.tell()
    try:
        file.seek(0)
        header = file.read(MAX_HEADER)
    finally:
        file.seek(position)
    start = header.find(b"meta")
    size = int.from_bytes(header[start - 4 : start]) if start >= 4 else 0
    boxes = header[start : start + size]
    return b"irot" in boxes or b"imir" in boxes


def reduce_depth(
    image: Image.Image, tags: Mapping[int, Any]
) -> tuple[Image.Image, Array | None, list[str]]:
    """Return an image of 8 bits per channel without alpha, its alpha and notes.

    Args:
        image: A loaded image.
        tags: The tags of a TIFF, or no tags.

    Raises:
        UserError: The image has signed, 32-bit or floating-point numbers.
    """
    if image.mode in ("I", "F"):
        raise UserError(
            "it holds signed, 32-bit or floating-point numbers: convert it to 8 or 16 bits per "
            "channel first"
        )
    if image.mode.startswith("I;16"):
        return _reduce_16_bits(image, tags)
    if not image.has_transparency_data:
        return (image.convert("RGB") if image.mode == "P" else image), None, []
    is_gray = image.mode in ("1", "L", "LA")
    image = image.convert("RGBA")
    alpha = np.asarray(image.getchannel("A"))
    return (image.getchannel("R") if is_gray else image.convert("RGB")), alpha, []


def _reduce_16_bits(
    image: Image.Image, tags: Mapping[int, Any]
) -> tuple[Image.Image, Array | None, list[str]]:
    gray = np.asarray(image)
    alpha = None
    if "transparency" in image.info:
        alpha = np.where(gray == image.info["transparency"], 0, 255).astype(np.uint8)
    peak, brightest = 2 ** max(tags.get(BITS, (16,))) - 1, int(gray.max())
    declared = tags.get(MAX_VALUE)
    declared = declared[0] if isinstance(declared, tuple) else declared
    if declared in SCANNER_PEAKS and brightest <= declared:
        peak = declared
    notes = []
    if peak == FULL_PEAK and 0 < brightest <= max(SCANNER_PEAKS):
        used = brightest.bit_length()
        notes.append(f"its values use only {used} of 16 bits, so its brightness may be wrong")
    if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO:  # Pillow inverts only 8 bits
        gray = peak - gray
    levels = Image.fromarray((gray.astype(np.float32) * (255 / peak)).round().astype(np.uint8))
    levels.info = image.info  # with the gamma of a PNG
    return levels, alpha, notes
