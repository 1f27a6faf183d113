"""One's own photographs: a folder of them, or a zip or tar archive, with a subfolder for each class or without classes.

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

from colorpipe import files, photographs
from colorpipe.datasets import common
from colorpipe.datasets.common import DataSet, Images
from colorpipe.errors import UserError, shown

ARCHIVE = "my-photos.archive"
NAMED = 3  # files that are named where more are damaged


def pack(folder: Path, archive: Path) -> None:
    """Put the photographs of a folder into a tar archive: the same bytes for the same photographs."""
    found = photographs.inside(folder)
    for path in found:
        if path.is_dir():
            raise UserError(f"{shown(path)} cannot be read: permission denied; give yourself leave")
    found = [path for path in found if _is_photograph(path.relative_to(folder))]
    for path in found:
        if not path.is_file():
            raise UserError(f"{shown(path)} is a pipe, a link to nothing or the like: remove it, or give it another name")
    with files.replaced(archive) as temporary, tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in found:
            member = tarfile.TarInfo(path.relative_to(folder).as_posix())
            member.size = path.stat().st_size
            with path.open("rb") as file:
                tar.addfile(member, file)


def _is_photograph(path: PurePosixPath | Path) -> bool:
    """By its name: neither hidden nor of a kind that is none."""
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
    return not hidden and path.suffix.lower() in photographs.SUFFIXES


def read(archive: Path, size: int) -> DataSet:
    """The photographs at size x size pixels, by name; those that have no colour are left out, which is said.

    Files that are alike to the byte share an area, so that they never stand on both sides of a split. Labels are the first
    folder of each name where every photograph is in one; where not, there are no classes. Raises UserError where a
    photograph cannot be read, naming it, and for an archive that is none.
    """
    images, names, areas, damaged, gray = [], [], [], [], []
    seen: dict[bytes, int] = {}
    for name, content in tqdm(_members(archive), "reading", unit="photo", disable=None, leave=False):
        try:
            rgb = photographs.read(Path(name), io.BytesIO(content)).rgb
        except UserError as error:
            damaged.append(str(error))
            continue
        square = ImageOps.fit(Image.fromarray(rgb), (size, size), Image.Resampling.LANCZOS)
        pixels = np.asarray(square).transpose(2, 0, 1)
        if (pixels == pixels[:1]).all():
            gray.append(name)
            continue
        images.append(pixels)
        names.append(name)
        areas.append(seen.setdefault(hashlib.sha256(content).digest(), len(seen)))
    if damaged:
        more = f"; and {len(damaged) - NAMED} more" if len(damaged) > NAMED else ""
        raise UserError(f"folder: mend or remove what cannot be read: {'; '.join(damaged[:NAMED])}{more}")
    if not images:
        raise UserError(f"{archive} holds no colour photographs (JPEG, PNG, WebP, TIFF)")
    if gray:
        named = ", ".join(shown(Path(name)) for name in gray[:NAMED])
        print(f"folder: {len(gray)} without colour are left out: {named}{', ...' if gray[NAMED:] else ''}")
    if len(seen) < len(images):
        print(f"folder: {len(images) - len(seen)} are copies of others; copies stay on one side of the split")
    classes, labels = _labels(names)
    print(f"folder: {len(images)} photographs, {len(classes) or 'no'} classes")
    return DataSet(Images(np.array(images), labels, np.array(areas)), None, classes)


def _labels(names: list[str]) -> tuple[tuple[str, ...], np.ndarray]:
    """The classes, and the label of each photograph (N,) int64; without classes all are 0."""
    folders = [PurePosixPath(name).parts[:-1] for name in names]
    while all(folders) and len({parts[0] for parts in folders}) == 1:  # one folder around all is no class
        folders = [parts[1:] for parts in folders]
    if not all(folders):
        return (), np.zeros(len(names), np.int64)
    classes = tuple(sorted({parts[0] for parts in folders}))
    return classes, np.array([classes.index(parts[0]) for parts in folders], np.int64)


def _members(archive: Path) -> Iterator[tuple[str, bytes]]:
    """The name and content of every photograph in a zip or tar archive, in the names' order."""
    with common.damage_named(archive, "zip or tar"):
        with archive.open("rb") as file:
            is_zip = file.read(2) == b"PK"  # `is_zipfile` would take a tar archive whose last file is a zip for that one
        if is_zip:
            with zipfile.ZipFile(archive) as opened:
                for entry in sorted(_safe(archive, opened), key=lambda entry: entry.filename):
                    if _is_photograph(PurePosixPath(entry.filename)):
                        yield entry.filename, opened.read(entry)
        else:
            with tarfile.open(archive, tarinfo=common.Member) as opened:
                for member in sorted(common.safe(archive, opened), key=lambda member: member.name):
                    name = member.name.removeprefix("./")
                    if member.isfile() and _is_photograph(PurePosixPath(name)):
                        yield name, common.read_member(archive, opened, member)


def _safe(archive: Path, opened: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The members of a zip archive. Raises UserError for what `common.safe` refuses."""
    entries = opened.infolist()
    if len(entries) > common.MEMBERS or sum(entry.file_size for entry in entries) > common.ARCHIVE_BYTES:
        raise UserError(f"{archive} claims more than {common.MEMBERS} members or {common.ARCHIVE_BYTES} bytes: refused")
    for entry in entries:
        common.refuse_outside(archive, entry.filename)
        if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise UserError(f"{archive}: {entry.filename!r} is a link, a device or the like: refused")
        if entry.file_size > common.READ_BYTES:
            raise UserError(f"{archive}: {entry.filename!r} claims {entry.file_size} bytes: refused")
    return entries
