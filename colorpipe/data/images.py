"""Image files: reading JPEG, PNG, WebP, TIFF and HEIC of every kind as 8-bit sRGB, and writing them atomically."""

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
# Pillow's warnings are about odd metadata; what matters raises. (A filter around each image would not be thread-safe.)
warnings.filterwarnings("ignore", module=r"PIL\b|pillow_heif\b")

FORMATS = (
    "JPEG",
    "PNG",
    "WEBP",
    "TIFF",
    "HEIF",
)  # JPEG also reads MPO, in which phones store several images
KINDS = "JPEG, PNG, WebP, TIFF or HEIC"
PHOTOMETRIC, WHITE_IS_ZERO = 262, 0  # a tag of TIFF and one of its values
SUFFIXES = {".jpg", ".jpeg", ".mpo", ".png", ".webp", ".tif", ".tiff", ".heic", ".heif", ".hif"}
WRITERS: dict[
    str, tuple[str, dict[str, Any]]
] = {  # by suffix: Pillow's format and options; only JPEG is lossy
    ".png": ("PNG", {"compress_level": 1}),
    ".jpg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".jpeg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".webp": ("WEBP", {"lossless": True, "quality": 0, "method": 0, "exact": True}),
    ".tif": ("TIFF", {"compression": "tiff_deflate"}),
    ".tiff": ("TIFF", {"compression": "tiff_deflate"}),
}


@dataclass(frozen=True)
class Photograph:
    """An upright image: sRGB (H, W, 3) uint8, alpha (H, W) uint8 or None, and notes on what reading its file changed."""

    rgb: Array
    alpha: Array | None
    notes: tuple[str, ...]


def is_folder(path: Path) -> bool:
    """Whether `path` is a folder; False where it cannot be accessed."""
    try:
        return path.is_dir()
    except OSError:
        return False


def inside(folder: Path, exclude: Path | None = None) -> list[Path]:
    """The files in and below a folder, including broken links, without hidden ones and those in `exclude`.

    Links to folders are followed, each folder once. An unreadable folder counts as one failed input: its path is among the
    results.
    """
    unread: list[Path] = []
    found: list[Path] = []
    seen: set[Path] = set()
    excluded = exclude.resolve() if exclude else None
    walk = os.walk(
        folder, onerror=lambda error: unread.append(Path(error.filename)), followlinks=True
    )
    for place, folders, names in walk:
        resolved = Path(place).resolve()
        if resolved in seen or (excluded and resolved == excluded != folder.resolve()):
            folders.clear()
            continue
        seen.add(resolved)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(place) / name for name in sorted(names) if not name.startswith(".")]
    return found + unread


def sort_out(names: Iterable[str]) -> tuple[list[str], list[str]]:
    """The names of photographs, by their suffixes, and those of other files; hidden ones are in neither."""
    photographs: list[str] = []
    others: list[str] = []
    for name in names:
        path = PurePosixPath(name)
        if not any(part.startswith(".") or part == "__MACOSX" for part in path.parts):
            (photographs if path.suffix.lower() in SUFFIXES else others).append(name)
    return photographs, others


def count_pixels(file: Path | BinaryIO) -> int:
    """The pixels of an image by its header, before it is read; 0 for what `read` refuses."""
    try:
        if isinstance(file, Path) and not file.is_file():
            return 0
        with Image.open(file, formats=FORMATS) as image:
            return image.width * image.height
    except Exception:  # a damaged image can raise anything
        return 0


def read(path: Path, content: BinaryIO | None = None) -> Photograph:
    """Read an image: EXIF orientation and ICC profile applied, 16 bits a channel reduced to 8, alpha kept.

    Args:
        path: of the file.
        content: what to read in place of the file, under its name.

    Raises:
        UserError: one line that names the file and what is wrong with it.
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
            f"{printable_path(path)} cannot be read: permission denied: check the file's permissions"
        ) from None
    except Image.UnidentifiedImageError:
        raise UserError(
            f"{printable_path(path)} is not a {KINDS}, or a rare kind of one, or damaged"
        ) from None
    except Image.DecompressionBombError as error:
        raise UserError(
            f"{printable_path(path)} is too large: {' '.join(str(error).split())}"
        ) from None
    except Exception as error:  # a damaged image can raise anything
        raise UserError(
            f"{printable_path(path)} cannot be read: {' '.join(str(error).split()) or type(error).__name__}"
        ) from error


def _decode(image: Image.Image) -> Photograph:
    notes = []
    if _has_more(image):
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
        notes.append("its EXIF data is damaged: orientation as stored")

    alpha = None
    if image.mode.startswith("I;16"):
        gray = np.asarray(image)
        if "transparency" in image.info:
            alpha = np.where(gray == image.info["transparency"], 0, 255).astype(np.uint8)
        gray = 65535 - gray if white_is_zero else gray  # Pillow inverts 8 bits only
        image = Image.fromarray(
            (gray.astype(np.float32) / 257).round().astype(np.uint8)
        )  # 0..65535 to 0..255
    elif image.mode in ("I", "F"):
        raise UserError(
            "it holds signed, 32-bit or floating-point numbers: convert it to 8 or 16 bits a channel first"
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


def _has_more(image: Image.Image) -> bool:
    """Whether there are images after the first; MPO repeats the same one in other sizes."""
    if image.format == "TIFF":
        return bool(image.tag_v2.next != 0)  # type: ignore[attr-defined]  # counting them would visit each: minutes, where a file claims many
    return image.format != "MPO" and getattr(image, "n_frames", 1) > 1


def _to_srgb(image: Image.Image, profile: bytes) -> tuple[Image.Image, list[str]]:
    """The image converted to sRGB by its ICC profile; unchanged, with a note, where the profile does not fit."""
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
    """Write an image (H, W, 3) uint8 atomically, in the format of the path's suffix.

    Args:
        path: the file to write; its suffix is one of WRITERS.
        rgb: sRGB, (H, W, 3) uint8.
        alpha: (H, W) uint8, or None.

    Returns:
        Notes on what the format dropped.
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
        except ValueError as error:  # of a size that the format does not allow
            raise UserError(f"{printable_path(path)} cannot be written: {error}") from error
    return notes
