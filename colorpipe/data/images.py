"""Image files: JPEG, PNG, WebP, TIFF and HEIC are read as 8-bit sRGB and written atomically."""

import io
import os
import stat
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np
import pillow_heif
from PIL import Image, ImageCms, ImageOps

from colorpipe import files
from colorpipe.data.dataset import Array
from colorpipe.runtime.errors import UserError, printable_path

pillow_heif.register_heif_opener()
# Pillow warns about odd metadata, and raises an error for anything worse. A filter around each
# image would not be thread-safe.
warnings.filterwarnings("ignore", module=r"PIL\b|pillow_heif\b")

# Pillow's names. JPEG includes MPO, in which phones store several images.
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "HEIF")
KINDS = "JPEG, PNG, WebP, TIFF or HEIC"
PHOTOMETRIC, WHITE_IS_ZERO = 262, 0  # a TIFF tag and one of its values
SUFFIXES = {".jpg", ".jpeg", ".mpo", ".png", ".webp", ".tif", ".tiff", ".heic", ".heif", ".hif"}
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
    """

    rgb: Array
    alpha: Array | None
    notes: tuple[str, ...]


def is_folder(path: Path) -> bool:
    """Return whether `path` is a folder. It is not if it cannot be accessed."""
    try:
        return path.is_dir()
    except OSError:
        return False


def list_files(folder: Path, exclude: Path | None = None) -> list[Path]:
    """Return the files in and below a folder, without hidden files.

    Links to folders are followed, and each folder is listed once. Broken links are included. If a
    folder cannot be read, its own path is included, so that it is reported like a file.

    Args:
        folder: The folder.
        exclude: A folder in it that is left out.
    """
    unreadable: list[Path] = []
    paths: list[Path] = []
    visited: set[Path] = set()
    excluded = exclude.resolve() if exclude else None
    walk = os.walk(
        folder, onerror=lambda error: unreadable.append(Path(error.filename)), followlinks=True
    )
    for place, folders, names in walk:
        resolved = Path(place).resolve()
        if resolved in visited or (excluded and resolved == excluded != folder.resolve()):
            folders.clear()
            continue
        visited.add(resolved)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        paths += [Path(place) / name for name in sorted(names) if not name.startswith(".")]
    return paths + unreadable


def separate_photographs(names: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return the names with a photograph's suffix and the other names, without hidden files."""
    photographs: list[str] = []
    others: list[str] = []
    for name in names:
        path = PurePosixPath(name)
        if not any(part.startswith(".") or part == "__MACOSX" for part in path.parts):
            (photographs if path.suffix.lower() in SUFFIXES else others).append(name)
    return photographs, others


def count_pixels(file: Path | BinaryIO) -> int:
    """Return the number of pixels that an image's header states, or 0 if it cannot be read."""
    try:
        if isinstance(file, Path) and not file.is_file():
            return 0
        with Image.open(file, formats=FORMATS) as image:
            return image.width * image.height
    except Exception:  # a damaged image can raise anything
        return 0


def read(path: Path, content: BinaryIO | None = None) -> Photograph:
    """Read an image.

    The EXIF orientation and the ICC profile are applied, 16 bits per channel are reduced to 8, and
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
        with Image.open(content or path, formats=FORMATS) as image:
            return _decode(image)
    except FileNotFoundError:
        raise UserError(f"{printable_path(path)} is missing") from None
    except IsADirectoryError:
        raise UserError(f"{printable_path(path)} is a folder") from None
    except PermissionError:
        raise UserError(
            f"{printable_path(path)} cannot be read (permission denied): check the file's "
            "permissions"
        ) from None
    except Image.UnidentifiedImageError:
        raise UserError(
            f"{printable_path(path)} is not a {KINDS} file, or is of a rare kind, or is damaged"
        ) from None
    except Image.DecompressionBombError as error:
        raise UserError(
            f"{printable_path(path)} is too large: {' '.join(str(error).split())}"
        ) from None
    except Exception as error:  # a damaged image can raise anything
        raise UserError(
            f"{printable_path(path)} cannot be read: "
            f"{' '.join(str(error).split()) or type(error).__name__}"
        ) from error


def _decode(image: Image.Image) -> Photograph:
    notes = []
    if _has_more_images(image):
        notes.append("only the first of its images is used")
    if image.mode.startswith("I;16") or any(
        ";16" in str(tile) for tile in getattr(image, "tile", ())
    ):
        notes.append("16 bits reduced to 8")
    white_is_zero = getattr(image, "tag_v2", {}).get(PHOTOMETRIC) == WHITE_IS_ZERO
    image.load()
    profile = image.info.get("icc_profile")
    try:
        image = ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF can raise anything
        notes.append("its EXIF data is damaged, so the orientation is as stored")

    alpha = None
    if image.mode.startswith("I;16"):
        gray = np.asarray(image)
        if "transparency" in image.info:
            alpha = np.where(gray == image.info["transparency"], 0, 255).astype(np.uint8)
        gray = 65535 - gray if white_is_zero else gray  # Pillow inverts only 8 bits
        # 65535 / 257 is 255.
        image = Image.fromarray((gray.astype(np.float32) / 257).round().astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise UserError(
            "it holds signed, 32-bit or floating-point numbers: convert it to 8 or 16 bits per "
            "channel first"
        )
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


def _has_more_images(image: Image.Image) -> bool:
    """Return whether the file has other images than the first one."""
    if image.format == "TIFF":
        # To count the images takes minutes if a damaged file claims to have many.
        return bool(image.tag_v2.next != 0)  # type: ignore[attr-defined]
    # MPO repeats one image in several sizes.
    return image.format != "MPO" and getattr(image, "n_frames", 1) > 1


def _to_srgb(image: Image.Image, profile: bytes) -> tuple[Image.Image, list[str]]:
    """Convert an image to sRGB. If its ICC profile does not fit, return it as it is with a note."""
    try:
        source = ImageCms.getOpenProfile(io.BytesIO(profile))
        if ImageCms.getProfileDescription(source).startswith("sRGB"):
            return image, []
        converted = ImageCms.profileToProfile(
            image, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
        return converted or image, []
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image, ["its ICC profile does not fit and is ignored"]


def write(path: Path, rgb: Array, alpha: Array | None) -> tuple[str, ...]:
    """Write an image atomically, in the format of the path's suffix.

    Args:
        path: Path of the file. Its suffix is one of WRITERS.
        rgb: sRGB image of shape (H, W, 3), uint8.
        alpha: Opacity of shape (H, W), uint8, or None.

    Returns:
        Notes on what the format cannot hold.

    Raises:
        UserError: The file cannot be written, or the format does not allow images of this size.
    """
    name, options = WRITERS[path.suffix.lower()]
    image = Image.fromarray(rgb)
    notes: tuple[str, ...] = ()
    if alpha is not None and name == "JPEG":
        notes = ("its transparency is dropped: JPEG has none",)
    elif alpha is not None:
        image.putalpha(Image.fromarray(alpha))
    with files.atomic_write(path) as temporary, temporary.open("wb") as file:
        try:
            image.save(file, name, **options)
        except ValueError as error:  # a size that the format does not allow
            raise UserError(f"{printable_path(path)} cannot be written: {error}") from error
    return notes
