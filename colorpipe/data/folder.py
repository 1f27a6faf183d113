"""The user's own photographs: a folder of them, or a zip or tar archive, with a subfolder for each class or without classes.

A folder is not copied: `download` writes a manifest of its photographs, and `split` reads them where they are. Each is
cropped to its central square and resized once, and kept in a file, so that an album may be larger than the memory. There is
no test set: `split` draws one.
"""

import hashlib
import io
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps
from tqdm import tqdm

from colorpipe import files
from colorpipe.color import lab
from colorpipe.data import archives, images, manifest
from colorpipe.data.dataset import Array, Dataset, Images
from colorpipe.runtime.errors import UserError, name_files, one_line
from colorpipe.runtime.parallel import PixelBudget, ordered_map

ARCHIVE = "my-photos.archive"  # zip or tar; of a folder, its manifest
GRAY = 5  # Lab units: without a larger |a| or |b| Zhang et al. 2016 count an image as gray
MAX_NAMED = 3  # damaged files that a message names

list_folder = manifest.write


class Decoded(NamedTuple):
    """A photograph's name, its pixels (3, H, H) uint8 or why they cannot be read, and the hash of its file."""

    name: str
    image: Array | UserError
    sha256: str


def check_source(key: str, source: str) -> None:
    """Raise UserError, naming the parameter, where the source is no local folder or archive: DVC watches it for changes."""
    wanted = "use the path of a folder of photographs or of a zip or tar file"
    if "://" in source or not Path(source).exists():
        raise UserError(f"{key}: there is no {one_line(source, 999)}: {wanted}")
    if Path(source).is_file() and Path(source).suffix.lower() in images.SUFFIXES:
        raise UserError(f"{key}: {one_line(source, 999)} is a single photograph: {wanted}")


def read(archive: Path, size: int) -> Dataset:
    """The photographs at size x size pixels, sorted by name.

    Those without color and exact copies of others are left out and reported, and so is every other file. Where every
    photograph is in a folder, its first folder is its class; otherwise there are no classes.

    Args:
        archive: a zip or tar archive, or the manifest of a folder.
        size: pixels a side.

    Raises:
        UserError: the archive or a photograph cannot be read, or differs from the manifest.
    """
    unused: list[str] = []
    kept: list[str] = []
    decoded = ordered_map(
        partial(_decode, size=size, budget=PixelBudget()), _entries(archive, unused)
    )
    with _unnamed_file(archive.parent) as pixels:
        for name, image in _select(
            tqdm(decoded, "reading", unit="photo", disable=None, leave=False)
        ):
            with files.naming_write_errors(archive.parent):
                pixels.write(image.tobytes())
                pixels.flush()
            kept.append(name)
        if unused:
            print(f"folder: not used, as not {images.KINDS}: {name_files(unused)}")
        if not kept:
            raise UserError(
                f"folder: none of its files is a color photograph ({images.KINDS}): set datasets.folder.source"
            )
        squares = np.memmap(pixels, np.uint8, "r", shape=(len(kept), 3, size, size))
    classes, labels = _labels(kept)
    print(f"folder: {len(kept)} photographs, {len(classes) or 'no'} classes")
    return Dataset(Images(squares, labels, np.arange(len(kept))), None, classes)


def _unnamed_file(folder: Path) -> IO[bytes]:
    """A file that is gone when nothing uses it any more, killed or not."""
    with files.naming_write_errors(folder):
        return tempfile.TemporaryFile(dir=folder)


def _decode(entry: tuple[str, Callable[[], bytes]], size: int, budget: PixelBudget) -> Decoded:
    """A photograph's central square at size x size pixels."""
    name, load = entry
    content = load()
    with budget.spend(images.count_pixels(io.BytesIO(content))):
        try:
            rgb = images.read(Path(name), io.BytesIO(content)).rgb
        except UserError as error:
            return Decoded(name, error, "")
        square = ImageOps.fit(Image.fromarray(rgb), (size, size), Image.Resampling.LANCZOS)
    return Decoded(name, np.asarray(square).transpose(2, 0, 1), hashlib.sha256(content).hexdigest())


def _select(photographs: Iterable[Decoded]) -> Iterator[tuple[str, Array]]:
    """The names and images to use; gray ones and copies are reported. Raises UserError where some cannot be read."""
    damaged, gray, copies = [], [], []
    seen = set()
    for name, image, sha256 in photographs:
        if isinstance(image, UserError):
            damaged.append(str(image))
        elif sha256 in seen:
            copies.append(name)
        else:
            seen.add(sha256)
            if is_gray(image):
                gray.append(name)
            else:
                yield name, image
    if damaged:
        more = f"; and {len(damaged) - MAX_NAMED} more" if len(damaged) > MAX_NAMED else ""
        raise UserError(
            f"folder: repair or remove the unreadable files: {'; '.join(damaged[:MAX_NAMED])}{more}"
        )
    for names, why in (
        (gray, f"gray (no |a| or |b| over {GRAY} Lab units)"),
        (copies, "copies of others"),
    ):
        if names:
            print(f"folder: not used, as {why}: {name_files(names)}")


def is_gray(image: Array) -> bool:
    """Whether a photograph (3, H, W) uint8 is gray, or nearly so: trained on, it would teach that gray is right."""
    ab = lab.rgb_to_lab(lab.from_bytes(torch.from_numpy(image.copy())[None]))[:, 1:]
    return bool((ab.abs() <= GRAY).all())


def _labels(names: list[str]) -> tuple[tuple[str, ...], Array]:
    """The classes, and the label of each photograph (N,) int64; all 0 without classes."""
    folders = [PurePosixPath(name).parts[:-1] for name in names]
    while (
        all(folders) and len({parts[0] for parts in folders}) == 1
    ):  # a single folder around all is not a class
        folders = [parts[1:] for parts in folders]
    if not all(folders):
        if any(folders):
            outside = [name for name, parts in zip(names, folders, strict=True) if not parts]
            print(
                f"folder: no classes, as some photographs are in no subfolder: {name_files(outside)}"
            )
        return (), np.zeros(len(names), np.int64)
    classes = tuple(sorted({parts[0] for parts in folders}))
    return classes, np.array([classes.index(parts[0]) for parts in folders], np.int64)


def _entries(archive: Path, unused: list[str]) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """The name of every photograph and how to read it, in the names' order; the names of other files go to `unused`."""
    with archives.naming_damage(archive, "zip or tar"):
        with archive.open("rb") as file:
            start = file.read(2)
        if start.startswith(manifest.START):
            album = manifest.load(archive)
            unused += album.unused
            for photograph in album.photographs:
                yield photograph.name, partial(manifest.content, album, photograph)
        elif start == b"PK":  # `is_zipfile` is fooled by a tar archive whose last file is a zip
            with zipfile.ZipFile(archive) as opened:
                entries = {
                    entry.filename: entry
                    for entry in _checked_entries(archive, opened)
                    if not entry.is_dir()
                }
                for name in _sort_out(entries, unused):
                    yield name, partial(bytes, opened.read(entries[name]))
        else:
            with tarfile.open(archive, tarinfo=archives.CheckedTarInfo) as opened:
                members = {
                    member.name: member
                    for member in archives.checked_members(archive, opened)
                    if member.isfile()
                }
                for name in _sort_out(members, unused):
                    yield name, partial(bytes, archives.read_member(archive, opened, members[name]))


def _sort_out(names: Iterable[str], unused: list[str]) -> list[str]:
    """The names of photographs, sorted; other files go to `unused`."""
    photographs, others = images.sort_out(sorted(names))
    unused += others
    return photographs


def _checked_entries(archive: Path, opened: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The members of a zip archive. Raises UserError for what `archives.checked_members` refuses."""
    entries = opened.infolist()
    if (
        len(entries) > archives.MAX_MEMBERS
        or sum(entry.file_size for entry in entries) > archives.MAX_ARCHIVE_BYTES
    ):
        raise UserError(
            f"{archive} claims more than {archives.MAX_MEMBERS} members or {archives.MAX_ARCHIVE_BYTES} bytes: refused"
        )
    for entry in entries:
        archives.refuse_outside(archive, entry.filename)
        if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise UserError(
                f"{archive}: {entry.filename!r} is a link, a device or the like: refused"
            )
        if entry.file_size > archives.MAX_READ_BYTES:
            raise UserError(
                f"{archive}: {entry.filename!r} claims {entry.file_size} bytes: refused"
            )
    return entries
