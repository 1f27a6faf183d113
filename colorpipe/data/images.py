"""Image files of many formats are read as 8-bit sRGB and written atomically."""

import contextlib
import dataclasses
import io
import stat
import warnings
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pillow_heif
from PIL import Image
from PIL.ExifTags import Base

from colorpipe import files
from colorpipe.data import decode, profiles
from colorpipe.data.dataset import Array
from colorpipe.data.metadata import Metadata, read_metadata, save_options
from colorpipe.runtime.errors import UserError, permission_error, printable_path

pillow_heif.register_heif_opener()
# Pillow warns about odd metadata, and raises an error for anything worse. A filter around each
# image would not be thread-safe.
warnings.filterwarnings("ignore", module=r"PIL\b|pillow_heif\b")

# Pillow's format names. JPEG includes MPO, in which phones store several images.
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "HEIF", "AVIF")
KINDS = "JPEG, PNG, WebP, TIFF, HEIC or AVIF"
TIFF_HEADERS = {b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"}
MAX_JPEG_SIDE = 65_500  # pixels, a limit of libjpeg
SUFFIXES = {
    ".jpg", ".jpeg", ".mpo", ".png", ".webp", ".tif", ".tiff", ".heic", ".heif", ".hif", ".avif"
}  # fmt: skip
# Pillow's format and options by suffix. Only JPEG is lossy.
WRITERS: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {"compress_level": 1}),
    ".jpg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".jpeg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".webp": ("WEBP", {"lossless": True, "quality": 0, "method": 0, "exact": True}),
    ".tif": ("TIFF", {"compression": "tiff_deflate"}),
    ".tiff": ("TIFF", {"compression": "tiff_deflate"}),
}


@dataclass(frozen=True)
class Photograph:
    """An upright image.

    Attributes:
        rgb: sRGB image of shape (H, W, 3), uint8.
        alpha: Opacity of shape (H, W), uint8, or None.
        notes: What was changed or ignored when the file was read.
        metadata: EXIF, XMP and IPTC of the upright image.
    """

    rgb: Array
    alpha: Array | None
    notes: tuple[str, ...]
    metadata: Metadata = field(default_factory=Metadata)


def count_pixels(file: Path | BinaryIO) -> int:
    """Return the number of pixels that an image's header states, or 0 if it cannot be read."""
    try:
        if isinstance(file, Path) and not file.is_file():
            return 0
        with Image.open(file, formats=FORMATS) as image:
            decode.select_page(image)
            return image.width * image.height
    except Exception:  # a damaged image can raise anything
        return 0


def read(path: Path, content: BinaryIO | None = None) -> Photograph:
    """Read an image.

    The orientation and the ICC profile are applied, more bits per channel are reduced to 8, and
    alpha is kept.

    Args:
        path: Path of the file.
        content: Content of the file, if it is not to be read from `path`.

    Raises:
        UserError: The file cannot be read. The message names the file and what is wrong with it.
    """
    try:
        if not content and stat.S_ISFIFO(path.stat().st_mode):
            raise UserError("it is a pipe, not a file")
        with contextlib.ExitStack() as stack:
            # Pillow scrambles the pixels of a rotated TIFF that it opens by its path.
            file = content or stack.enter_context(path.open("rb"))
            image = stack.enter_context(Image.open(file, formats=FORMATS))
            return _decode(image)
    except FileNotFoundError:
        raise UserError(f"{printable_path(path)} is missing: check its path") from None
    except IsADirectoryError:
        raise UserError(f"{printable_path(path)} is a folder: use a file") from None
    except PermissionError:
        raise permission_error(path) from None
    except Image.UnidentifiedImageError:
        raise _explain_unknown(path, content) from None
    except Image.DecompressionBombError:
        raise UserError(
            f"{printable_path(path)} is too large: use an image of up to 178 megapixels"
        ) from None
    except Exception as error:  # a damaged image can raise anything
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise UserError(
            f"{printable_path(path)} cannot be read: {reason or type(error).__name__}"
        ) from error


def _decode(image: Image.Image) -> Photograph:
    notes = decode.select_page(image) + decode.describe_depth(image)
    file, name = getattr(image, "fp", None), image.format
    is_rotated = name == "HEIF" and file is not None and decode.has_rotation_box(file)
    unknown_color = name == "PNG" and file and profiles.has_unknown_cicp(file)
    decode.scale_transparent_color(image)
    tags, size = getattr(image, "tag_v2", {}), image.size
    is_sideways = tags.get(Base.Orientation) in decode.SIDEWAYS  # Pillow turns a TIFF upright
    image.load()
    profile = image.info.get("icc_profile")
    if unknown_color and not profile:
        notes.append("its color space (cICP) is not supported, so it is read as sRGB")
    metadata, metadata_notes = read_metadata(image)
    image, orientation_notes = decode.turn_upright(image, is_rotated)
    if metadata.dpi and (is_sideways or image.size != size):
        metadata = dataclasses.replace(metadata, dpi=metadata.dpi[::-1])
    image, alpha, depth_notes = decode.reduce_depth(image, tags)
    image, profile_notes = profiles.convert_to_srgb(image, profile)
    notes += metadata_notes + orientation_notes + depth_notes + profile_notes
    return Photograph(np.array(image.convert("RGB")), alpha, tuple(notes), metadata)


def _explain_unknown(path: Path, content: BinaryIO | None) -> UserError:
    """Return the error for a file that Pillow does not open: a ZIP archive, a TIFF, or another."""
    with contextlib.ExitStack() as stack:
        file = content or stack.enter_context(path.open("rb"))
        file.seek(0)
        is_tiff = file.read(4) in TIFF_HEADERS
        is_zip = path.suffix.lower() == ".zip" and zipfile.is_zipfile(file)
    if is_zip:
        return UserError(f"{printable_path(path)} is a ZIP archive: unzip it first")
    if is_tiff:
        return UserError(
            f"{printable_path(path)} is a damaged TIFF, or a kind that Pillow cannot read: save it "
            "as RGB with 8 bits per channel"
        )
    return UserError(
        f"{printable_path(path)} is not a readable {KINDS} file: convert it to JPEG or PNG, or "
        "leave it out"
    )


def write(
    path: Path, rgb: Array, alpha: Array | None, metadata: Metadata | None = None
) -> tuple[str, ...]:
    """Write an image atomically, in the format of the path's suffix.

    Args:
        path: Path of the file. Its suffix is one of WRITERS.
        rgb: sRGB image of shape (H, W, 3), uint8.
        alpha: Opacity of shape (H, W), uint8, or None.
        metadata: EXIF, XMP, IPTC and the resolution to keep, or None.

    Returns:
        Notes on what the format cannot hold.

    Raises:
        UserError: The file cannot be written, or the format does not allow images of this size.
    """
    name, options = WRITERS[path.suffix.lower()]
    image = Image.fromarray(rgb)
    extra, notes = save_options(metadata or Metadata(), name)
    if alpha is not None and name == "JPEG":
        notes += ("its transparency is dropped: JPEG has none",)
    elif alpha is not None:
        image.putalpha(Image.fromarray(alpha))
    if name == "JPEG" and max(image.size) > MAX_JPEG_SIDE:
        raise UserError(
            f"{printable_path(path)} cannot be written: a JPEG has at most {MAX_JPEG_SIDE} pixels "
            f"per side, and the image has {image.width}x{image.height}: use another format, such "
            "as png"
        )
    encoded = io.BytesIO()  # Pillow's encoders do not report a full disk
    try:
        image.save(encoded, name, **{**options, **extra})
    except (ValueError, OSError) as error:  # for example a size that the format does not allow
        raise UserError(
            f"{printable_path(path)} cannot be written: {error}: use another format, such as png"
        ) from error
    with files.atomic_write(path) as temporary:
        temporary.write_bytes(encoded.getbuffer())
    return notes
