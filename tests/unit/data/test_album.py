"""The files of an album, without those of the operating system or a NAS."""

from pathlib import Path

import pytest

from colorpipe.data import album

# Files of the operating system or a NAS, and the folder or the file that is skipped.
SYSTEM = {
    "@eaDir/a.jpg/SYNOPHOTO_THUMB_XL.jpg": "@eaDir",
    "#recycle/old.jpg": "#recycle",
    "$RECYCLE.BIN/S-1-5/old.jpg": "$RECYCLE.BIN",
    ".Trashes/501/old.jpg": ".Trashes",
    ".@__thumb/a.jpg": ".@__thumb",
    "__MACOSX/._a.jpg": "__MACOSX",
    "trip/@eaDir/b.jpg/SYNOPHOTO_THUMB_M.jpg": "trip/@eaDir",
    "trip/._b.jpg": "trip/._b.jpg",
    "System Volume Information/c.jpg": "System Volume Information",
    "Thumbs.db": "Thumbs.db",
    "desktop.ini": "desktop.ini",
}
OWN = ["a.jpg", "trip/b.jpg", "recycle/c.jpg", "ea@dir/d.jpg", "# 1/e.jpg"]


@pytest.fixture
def folder(tmp_path) -> Path:
    for name in [*SYSTEM, *OWN]:
        (tmp_path / "album" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "album" / name).touch()
    return tmp_path / "album"


def names(folder: Path, paths: list[Path]) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in paths)


def test_system_files_are_skipped_and_listed(folder):
    files, skipped = album.list_files(folder)
    assert names(folder, files) == sorted(OWN)
    assert names(folder, skipped) == sorted(SYSTEM.values())


def test_a_folder_with_a_hidden_link_to_it_is_read(folder):
    (folder / ".latest").symlink_to(folder / "trip", target_is_directory=True)
    files, skipped = album.list_files(folder)
    assert names(folder, files) == sorted(OWN)
    assert ".latest" in names(folder, skipped)


def test_the_album_itself_may_have_the_name_of_a_system_folder(folder):
    inner = folder / "@eaDir"
    assert names(inner, album.list_files(inner).files) == ["a.jpg/SYNOPHOTO_THUMB_XL.jpg"]
