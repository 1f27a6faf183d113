"""Photographs as files: JPEG, PNG, WebP and TIFF of every kind, to 8-bit sRGB; and back, whole or not at all."""

import io
import os
import stat
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from PIL import Image, ImageCms, ImageOps

from colorpipe import files
from colorpipe.errors import UserError, shown

if TYPE_CHECKING:
    import numpy as np

READ = ("JPEG", "PNG", "WEBP", "TIFF")  # JPEG: MPO, how phones write several pictures into one file, is read by it too
PHOTOMETRIC, WHITE_IS_ZERO = 262, 0  # a tag of TIFF and one of its values
SUFFIXES = {".jpg", ".jpeg", ".mpo", ".png", ".webp", ".tif", ".tiff"}
WRITTEN = {  # the format by its file's suffix: Pillow's name, and how it is written; only JPEG loses anything
    ".png": ("PNG", {"compress_level": 1}),
    ".jpg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".jpeg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".webp": ("WEBP", {"lossless": True, "quality": 0, "method": 0, "exact": True}),
    ".tif": ("TIFF", {"compression": "tiff_deflate"}),
    ".tiff": ("TIFF", {"compression": "tiff_deflate"}),
}


@dataclass(frozen=True)
class Photograph:
    """A picture upright: sRGB (H, W, 3) uint8, alpha (H, W) uint8 or None, and what had to be said of its file."""

    rgb: "np.ndarray"
    alpha: "np.ndarray | None"
    notes: tuple[str, ...]


def is_folder(path: Path) -> bool:
    """Whether there is a folder to be seen; not for a path that may not be looked at."""
    try:
        return path.is_dir()
    except OSError:
        return False


def inside(folder: Path, leave_out: Path | None = None) -> list[Path]:
    """The files in and below a folder, links to nothing among them, without hidden ones.

    A folder that cannot be read stands for what is in it. What is in `leave_out` is left out, where that is below.
    """
    unread: list[Path] = []
    found: list[Path] = []
    apart = leave_out.resolve() if leave_out else None
    for place, folders, names in os.walk(folder, onerror=lambda error: unread.append(Path(error.filename))):
        if apart and Path(place).resolve() == apart != folder.resolve():
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(place) / name for name in sorted(names) if not name.startswith(".")]
    return found + unread


def read(path: Path, content: BinaryIO | None = None) -> Photograph:
    """Read the file at `path`, or the `content` of one that is called so.

    EXIF orientation and ICC profile are applied, 16 bits a channel are reduced to 8, alpha is kept. Raises UserError: one
    line that names the file and what is wrong with it.
    """
    try:
        if not content and stat.S_ISFIFO(path.stat().st_mode):
            raise UserError("it is a pipe, not a file")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow's about odd metadata: what matters raises
            with Image.open(content or path, formats=READ) as image:
                return _decode(image)
    except FileNotFoundError:
        raise UserError(f"{shown(path)} is missing") from None
    except IsADirectoryError:
        raise UserError(f"{shown(path)} is a folder") from None
    except PermissionError:
        raise UserError(f"{shown(path)} may not be read: permission denied") from None
    except Image.UnidentifiedImageError:
        raise UserError(f"{shown(path)} is no JPEG, PNG, WebP or TIFF, or one of a rare kind, or damaged") from None
    except Image.DecompressionBombError as error:
        raise UserError(f"{shown(path)} is too large: {' '.join(str(error).split())}") from None
    except Exception as error:  # a damaged image can raise anything
        raise UserError(f"{shown(path)} cannot be read: {' '.join(str(error).split()) or type(error).__name__}") from error


def _decode(image: Image.Image) -> Photograph:
    import numpy as np

    notes = []
    if _has_more(image):
        notes.append("the first of its pictures alone")
    if image.mode.startswith("I;16") or any(";16" in str(tile) for tile in image.tile):
        notes.append("16 bits reduced to 8")
    white_is_zero = getattr(image, "tag_v2", {}).get(PHOTOMETRIC) == WHITE_IS_ZERO
    image.load()
    profile = image.info.get("icc_profile")
    try:
        image = ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF can raise anything
        notes.append("its EXIF data is damaged: orientation as stored")

    alpha = None
    if image.mode.startswith("I;16"):
        gray = np.asarray(image)
        if "transparency" in image.info:
            alpha = np.where(gray == image.info["transparency"], 0, 255).astype(np.uint8)
        gray = 65535 - gray if white_is_zero else gray  # Pillow turns 8 bits alone
        image = Image.fromarray((gray.astype(np.float32) / 257).round().astype(np.uint8))  # 0..65535 to 0..255
    elif image.mode in ("I", "F"):
        raise UserError("it holds signed, 32-bit or floating-point numbers: convert it to 8 or 16 bits a channel first")
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = np.asarray(image.getchannel("A"))
        image = image.convert("RGB")
    if image.mode == "P":
        image = image.convert("RGB")
    if profile:
        image, note = _to_srgb(image, profile)
        notes += note
    return Photograph(np.array(image.convert("RGB")), alpha, tuple(notes))


def _has_more(image: Image.Image) -> bool:
    """Whether there are pictures after the first; MPO has the same one in other sizes."""
    if image.format == "TIFF":
        return image.tag_v2.next != 0  # to count them, each would be looked at: minutes, where a file claims many
    return image.format != "MPO" and getattr(image, "n_frames", 1) > 1


def _to_srgb(image: Image.Image, profile: bytes) -> tuple[Image.Image, list[str]]:
    """The image in sRGB by its ICC profile; as it is, with a word, where the profile does not fit."""
    try:
        source = ImageCms.getOpenProfile(io.BytesIO(profile))
        if ImageCms.getProfileDescription(source).startswith("sRGB"):
            return image, []
        return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB"), []
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image, ["its ICC profile does not fit and is dropped"]


def write(path: Path, rgb: "np.ndarray", alpha: "np.ndarray | None") -> tuple[str, ...]:
    """Write a picture (H, W, 3) uint8 in the format of the path's suffix, by way of a temporary file; what is to be said."""
    name, options = WRITTEN[path.suffix.lower()]
    image = Image.fromarray(rgb)
    notes = ()
    if alpha is not None and name == "JPEG":
        notes = ("its transparency is dropped, as JPEG has none",)
    elif alpha is not None:
        image.putalpha(Image.fromarray(alpha))
    with files.replaced(path) as temporary, temporary.open("wb") as file:
        try:
            image.save(file, name, **options)
        except ValueError as error:  # of a size that the format does not have
            raise UserError(f"{shown(path)} cannot be written: {error}") from error
    return notes
