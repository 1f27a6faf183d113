"""The files of an album, without those of the operating system or a NAS."""

from pathlib import Path

import pytest

from colorpipe.data import album

SYSTEM = [
    "@eaDir/a.jpg/SYNOPHOTO_THUMB_XL.jpg",
    "#recycle/old.jpg",
    "$RECYCLE.BIN/S-1-5/old.jpg",
    ".Trashes/501/old.jpg",
    ".@__thumb/a.jpg",
    "__MACOSX/._a.jpg",
    "trip/@eaDir/b.jpg/SYNOPHOTO_THUMB_M.jpg",
    "trip/._b.jpg",
    "System Volume Information/c.jpg",
    "Thumbs.db",
    "desktop.ini",
]
OWN = ["a.jpg", "trip/b.jpg", "recycle/c.jpg", "ea@dir/d.jpg", "# 1/e.jpg"]


@pytest.fixture
def folder(tmp_path) -> Path:
    for name in [*SYSTEM, *OWN]:
        (tmp_path / "album" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "album" / name).touch()
    return tmp_path / "album"


def names(folder: Path, paths: list[Path]) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in paths)


def test_files_of_the_system_are_skipped_and_listed(folder):
    files, skipped = album.list_files(folder)
    assert names(folder, files) == sorted(OWN)
    assert names(folder, skipped) == sorted(SYSTEM)


def test_the_folder_itself_may_have_such_a_name(folder):
    inner = folder / "@eaDir"
    assert names(inner, album.list_files(inner).files) == ["a.jpg/SYNOPHOTO_THUMB_XL.jpg"]
