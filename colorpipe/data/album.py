"""The files of an album: those to read, and those of the operating system or of a NAS."""

import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

# In lower case. Names that begin with a dot, such as .Trashes and ._x.jpg, are hidden files.
SYSTEM_FOLDERS = {
    "#recycle", "#snapshot", "$recycle.bin", "@eadir", "@recently-snapshot", "@recycle",
    "@sharebin", "@tmp", "__macosx", "lost+found", "recycler", "system volume information",
}  # fmt: skip
SYSTEM_FILES = {"desktop.ini", "ehthumbs.db", "thumbs.db"}
SYSTEM_REASON = "they are hidden, or belong to the operating system or a NAS"


class Album(NamedTuple):
    """The files in and below a folder.

    Attributes:
        files: Files to read. Broken links and folders that cannot be read are included, so that
            they are reported like files.
        skipped: Hidden files and files of the system.
    """

    files: list[Path]
    skipped: list[Path]


def is_folder(path: Path) -> bool:
    """Return whether `path` is a folder. It is not if it cannot be accessed."""
    try:
        return path.is_dir()
    except OSError:
        return False


def list_files(folder: Path, exclude: Path | None = None) -> Album:
    """Return the files in and below a folder.

    Links to folders are followed, and each folder is listed once.

    Args:
        folder: The folder.
        exclude: A folder in it that is left out.
    """
    unreadable: list[Path] = []
    album = Album([], [])
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
        folders.sort()
        for name in sorted(names):
            path = Path(place) / name
            system = is_of_system(path.relative_to(folder))
            (album.skipped if system else album.files).append(path)
    readable = [path for path in unreadable if not is_of_system(path.relative_to(folder))]
    return Album(album.files + readable, album.skipped)


def is_of_system(path: Path) -> bool:
    """Return whether a path in an album is hidden, or belongs to the operating system or a NAS."""
    names = [part.lower() for part in path.parts]
    return any(name.startswith(".") or name in SYSTEM_FOLDERS for name in names) or (
        path.name.lower() in SYSTEM_FILES
    )


def separate_photographs(
    names: Iterable[str], suffixes: Iterable[str]
) -> tuple[list[str], list[str]]:
    """Return the names with one of the suffixes and the other names."""
    photographs: list[str] = []
    others: list[str] = []
    for name in names:
        (photographs if PurePosixPath(name).suffix.lower() in suffixes else others).append(name)
    return photographs, others
