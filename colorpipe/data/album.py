"""The files of an album: those to read, and those of the operating system or of a NAS."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from colorpipe.runtime.errors import list_names

# In lower case. Names that begin with a dot, such as .Trashes and ._x.jpg, are hidden files.
SYSTEM_FOLDERS = {
    "#recycle", "#snapshot", "$recycle.bin", "@eadir", "@recently-snapshot", "@recycle",
    "@sharebin", "@tmp", "__macosx", "lost+found", "recycler", "system volume information",
}  # fmt: skip
SYSTEM_FILES = {"desktop.ini", "ehthumbs.db", "thumbs.db"}


class Album(NamedTuple):
    """The files in and below a folder.

    Attributes:
        files: Files to read. Broken links and folders that cannot be read are included, so that
            they are reported like files.
        skipped: Files and folders that are hidden, or belong to the operating system or a NAS. The
            files in such a folder are not listed.
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

    Links to folders are followed. A folder that is reached in several ways is listed once.

    Args:
        folder: The folder.
        exclude: A folder in it that is skipped.
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
        system = {name for name in folders if name.lower() in SYSTEM_FOLDERS}
        system |= {name for name in names if name.lower() in SYSTEM_FILES}
        system |= {name for name in folders + names if name.startswith(".")}
        folders[:] = sorted(set(folders) - system)  # os.walk descends into these alone
        album.skipped.extend(Path(place) / name for name in sorted(system))
        album.files.extend(Path(place) / name for name in sorted(set(names) - system))
    return Album(album.files + unreadable, album.skipped)


def explain_skipped(names: Sequence[str | Path]) -> str:
    """Return a message about the skipped files and folders of an album."""
    entries = f"{len(names)} files or folders" if len(names) > 1 else "1 file or folder"
    return (
        "skipped, because they are hidden, or belong to the operating system or a NAS: "
        f"{entries}: {list_names(names)}"
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
