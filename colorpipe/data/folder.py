"""The user's own photographs: a folder of them, or a zip or tar archive, with a subfolder for each class or without classes.

Each is cropped to its central square and resized once. There is no test set: `split` draws one.
"""

import hashlib
import io
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from colorpipe import io as files
from colorpipe.data import archives, images
from colorpipe.data.base import Array, Dataset, Images
from colorpipe.runtime.errors import UserError, printable_path

ARCHIVE = "my-photos.archive"
MAX_NAMED = 3  # damaged files that a message names


def pack(folder: Path, archive: Path) -> None:
    """Pack the photographs of a folder into a tar archive, deterministically."""
    found = images.inside(folder)
    for path in found:
        if path.is_dir():
            raise UserError(f"{printable_path(path)} cannot be read: permission denied: check the folder's permissions")
    found = [path for path in found if _is_photograph(path.relative_to(folder))]
    for path in found:
        if not path.is_file():
            raise UserError(f"{printable_path(path)} is a pipe, a broken link or the like: remove or rename it")
    with files.atomic_write(archive) as temporary, tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in found:
            member = tarfile.TarInfo(path.relative_to(folder).as_posix())
            member.size = path.stat().st_size
            with path.open("rb") as file:
                tar.addfile(member, file)


def _is_photograph(path: PurePosixPath | Path) -> bool:
    """By its name: not hidden, with the suffix of an image."""
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
    return not hidden and path.suffix.lower() in images.SUFFIXES


def read(archive: Path, size: int) -> Dataset:
    """The photographs at size x size pixels, sorted by name; those without color are skipped and reported.

    Identical files share an area, so that they stay on one side of a split. Where every photograph is in a folder, its first
    folder is its class; otherwise there are no classes. Raises UserError where the archive or a photograph cannot be read.
    """
    pixels, names, areas, damaged, gray = [], [], [], [], []
    seen: dict[bytes, int] = {}
    for name, content in tqdm(_members(archive), "reading", unit="photo", disable=None, leave=False):
        try:
            rgb = images.read(Path(name), io.BytesIO(content)).rgb
        except UserError as error:
            damaged.append(str(error))
            continue
        square = ImageOps.fit(Image.fromarray(rgb), (size, size), Image.Resampling.LANCZOS)
        image = np.asarray(square).transpose(2, 0, 1)
        if (image == image[:1]).all():
            gray.append(name)
            continue
        pixels.append(image)
        names.append(name)
        areas.append(seen.setdefault(hashlib.sha256(content).digest(), len(seen)))
    if damaged:
        more = f"; and {len(damaged) - MAX_NAMED} more" if len(damaged) > MAX_NAMED else ""
        raise UserError(f"folder: repair or remove the unreadable files: {'; '.join(damaged[:MAX_NAMED])}{more}")
    if not pixels:
        raise UserError(f"{archive} holds no color photographs (JPEG, PNG, WebP, TIFF)")
    if gray:
        named = ", ".join(printable_path(Path(name)) for name in gray[:MAX_NAMED])
        print(f"folder: {len(gray)} photographs without color skipped: {named}{', ...' if gray[MAX_NAMED:] else ''}")
    if len(seen) < len(pixels):
        print(f"folder: {len(pixels) - len(seen)} are copies of others; copies stay on one side of the split")
    classes, labels = _labels(names)
    print(f"folder: {len(pixels)} photographs, {len(classes) or 'no'} classes")
    return Dataset(Images(np.array(pixels), labels, np.array(areas)), None, classes)


def _labels(names: list[str]) -> tuple[tuple[str, ...], Array]:
    """The classes, and the label of each photograph (N,) int64; all 0 without classes."""
    folders = [PurePosixPath(name).parts[:-1] for name in names]
    while all(folders) and len({parts[0] for parts in folders}) == 1:  # a single folder around all is not a class
        folders = [parts[1:] for parts in folders]
    if not all(folders):
        return (), np.zeros(len(names), np.int64)
    classes = tuple(sorted({parts[0] for parts in folders}))
    return classes, np.array([classes.index(parts[0]) for parts in folders], np.int64)


def _members(archive: Path) -> Iterator[tuple[str, bytes]]:
    """The name and content of every photograph in a zip or tar archive, in the names' order."""
    with archives.naming_damage(archive, "zip or tar"):
        with archive.open("rb") as file:
            is_zip = file.read(2) == b"PK"  # `is_zipfile` is fooled by a tar archive whose last file is a zip
        if is_zip:
            with zipfile.ZipFile(archive) as opened:
                for entry in sorted(_checked_entries(archive, opened), key=lambda entry: entry.filename):
                    if _is_photograph(PurePosixPath(entry.filename)):
                        yield entry.filename, opened.read(entry)
        else:
            with tarfile.open(archive, tarinfo=archives.CheckedTarInfo) as opened:
                for member in sorted(archives.checked_members(archive, opened), key=lambda member: member.name):
                    name = member.name.removeprefix("./")
                    if member.isfile() and _is_photograph(PurePosixPath(name)):
                        yield name, archives.read_member(archive, opened, member)


def _checked_entries(archive: Path, opened: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The members of a zip archive. Raises UserError for what `archives.checked_members` refuses."""
    entries = opened.infolist()
    if len(entries) > archives.MAX_MEMBERS or sum(entry.file_size for entry in entries) > archives.MAX_ARCHIVE_BYTES:
        raise UserError(
            f"{archive} claims more than {archives.MAX_MEMBERS} members or {archives.MAX_ARCHIVE_BYTES} bytes: refused"
        )
    for entry in entries:
        archives.refuse_outside(archive, entry.filename)
        if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise UserError(f"{archive}: {entry.filename!r} is a link, a device or the like: refused")
        if entry.file_size > archives.MAX_READ_BYTES:
            raise UserError(f"{archive}: {entry.filename!r} claims {entry.file_size} bytes: refused")
    return entries
