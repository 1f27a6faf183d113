"""What the data sets share: the form they give, reading an archive's members, cutting photographs into crops."""

import contextlib
import importlib.util
import io
import tarfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from PIL import Image

from colorpipe import files, photographs
from colorpipe.errors import UserError, one_line

READ_BYTES = 2**28  # of a member that is read into memory; STL-10's largest has 2.2e8
MEMBER_BYTES = 2**33  # of any member; STL-10's unlabelled images have 2.8e9
ARCHIVE_BYTES = 2**36
MEMBERS = 10**6
HEADER_BYTES = 2**20  # of a long name, or the like
EXTENSIONS = (b"L", b"K", b"x", b"g", b"X")  # members that are such headers (GNU's and pax')


class Images(NamedTuple):
    """Images (N, 3, H, W) uint8 sRGB; labels (N,) int64; areas (N,) int64.

    Images of the same area may share pixels, so they never stand on both sides of a split.
    """

    images: np.ndarray
    labels: np.ndarray
    areas: np.ndarray


@dataclass(frozen=True)
class DataSet:
    """A data set as it comes: train images, test images where the set has its own, and the names of the labels, if any."""

    train: Images
    test: Images | None
    classes: tuple[str, ...]

    def resized(self, size: int) -> "DataSet":
        """All images at size x size pixels; those that are, as they are."""
        train, test = (part._replace(images=_resized(part.images, size)) for part in (self.train, self.test))
        return DataSet(train, test, self.classes)


def _resized(images: np.ndarray, size: int) -> np.ndarray:
    """Square images (N, 3, H, H) as (N, 3, size, size)."""
    if images.shape[-1] == size:
        return images
    squares = (
        Image.fromarray(image).resize((size, size), Image.Resampling.LANCZOS) for image in images.transpose(0, 2, 3, 1)
    )
    return np.array([np.asarray(square).transpose(2, 0, 1) for square in squares])


def read_members(archive: Path, names: Collection[str]) -> dict[str, bytes]:
    """The named regular files of a tar archive, by name, read in one pass; nothing is unpacked to disk.

    Raises UserError where the archive is no tar file, is cut short, lacks a member, or has one that is refused (see `safe`).
    """
    found: dict[str, bytes] = {}
    with damage_named(archive, "tar"), tarfile.open(archive, tarinfo=Member) as tar:
        for member in safe(archive, tar):
            name = member.name.removeprefix("./")
            if name in names and member.isfile():
                found[name] = read_member(archive, tar, member)
    missing = sorted(set(names) - set(found))
    if missing:
        raise UserError(f"{archive} has no {missing[0]}: it is damaged, or not the official archive")
    return found


@contextlib.contextmanager
def damage_named(archive: Path, kind: str) -> Iterator[None]:
    """Turn whatever reading an archive raises into a UserError that names it."""
    try:
        yield
    except (UserError, MemoryError):
        raise
    except FileNotFoundError:
        raise UserError(f"{archive} is missing: `dvc repro` fetches it") from None
    except PermissionError:
        raise UserError(f"{archive} may not be read: permission denied; give yourself leave") from None
    except Exception as error:  # a damaged archive can raise anything
        raise UserError(f"{archive} is no readable {kind} archive ({one_line(error)}): fetch it again") from error


class Member(tarfile.TarInfo):
    """A member of a tar archive whose header's size is checked as it is read: a long name's is taken into memory at once.

    A size that a pax header gives is checked by `safe`.
    """

    @classmethod
    def frombuf(cls, buf: bytes, encoding: str, errors: str) -> "Member":
        """The header in 512 bytes. Raises UserError for a size that is absurd."""
        member = super().frombuf(buf, encoding, errors)
        limit = HEADER_BYTES if member.type in EXTENSIONS else MEMBER_BYTES
        if not 0 <= member.size <= limit:
            raise UserError(f"the archive's member {member.name!r} claims {member.size} bytes: refused")
        return member


def safe(archive: Path, tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members of a tar archive. Raises UserError where one has no place in a data set, though none is ever unpacked.

    Refused are links, devices, sparse files, names that lead out of the archive, and more members or bytes than any has.
    """
    total = 0
    for count, member in enumerate(tar, 1):
        if not 0 <= member.size <= MEMBER_BYTES:
            raise UserError(f"{archive}: {member.name!r} claims {member.size} bytes: refused")
        total += member.size
        if not (member.isfile() or member.isdir()) or member.issparse():
            raise UserError(f"{archive}: {member.name!r} is a link, a device or the like: refused")
        refuse_outside(archive, member.name)
        if count > MEMBERS or total > ARCHIVE_BYTES:
            raise UserError(f"{archive} claims more than {MEMBERS} members or {ARCHIVE_BYTES} bytes: refused")
        yield member


def read_member(archive: Path, tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """The content of a regular file. Raises UserError where it is too large for memory, or cut short."""
    if member.size > READ_BYTES:
        raise UserError(f"{archive}: {member.name!r} claims {member.size} bytes, more than {READ_BYTES}: refused")
    content = tar.extractfile(member).read()
    if len(content) != member.size:
        raise UserError(f"{archive} is cut short within {member.name}: fetch it again")
    return content


def refuse_outside(archive: Path, name: str) -> None:
    """Raise UserError for the name of a member that leads out of the archive."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or name[1:2] == ":":
        raise UserError(f"{archive}: {name!r} leads out of the archive: refused")


# The colour photographs in scikit-image's data folder, and by how much each is first shrunk: to 500 to 750 pixels.
# motorcycle_right is the other eye of motorcycle_left, and color.png is drawn: both are left out.
PHOTOGRAPHS = {
    "astronaut.png": 1,
    "chelsea.png": 1,
    "coffee.png": 1,
    "hubble_deep_field.jpg": 2,
    "ihc.png": 1,
    "motorcycle_left.png": 1,
    "retina.jpg": 2,
    "rocket.jpg": 1,
}


def bundle_photographs(archive: Path) -> None:
    """Pack the photographs of the installed scikit-image into a tar archive, the same bytes each time."""
    folder = Path(importlib.util.find_spec("skimage").submodule_search_locations[0]) / "data"
    with files.replaced(archive) as temporary, tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name in PHOTOGRAPHS:
            if not (folder / name).is_file():
                raise UserError(f"scikit-image carries no {name}: install the version in requirements.lock")
            content = (folder / name).read_bytes()
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def read_photographs(archive: Path, *, size: int, area: int, scales: dict[int, int]) -> DataSet:
    """Crops (size x size pixels) of the bundled photographs; the label says which photograph.

    A photograph is divided into squares of `area` pixels. All crops of an area, at every scale (see `crops`), are in
    train or all in test: no pixel of a test crop is ever in a train crop.
    """
    parts: dict[bool, list[tuple[np.ndarray, int, int]]] = {True: [], False: []}
    contents = read_members(archive, PHOTOGRAPHS)
    number = 0
    for label, (name, factor) in enumerate(PHOTOGRAPHS.items()):
        photograph = shrink(photographs.read(Path(name), io.BytesIO(contents[name])).rgb, factor)
        for row in range(photograph.shape[0] // area):
            for column in range(photograph.shape[1] // area):
                square = photograph[row * area : (row + 1) * area, column * area : (column + 1) * area]
                part = parts[is_test_area(row, column)]
                part += [(crop, label, number) for crop in crops(square, size, scales)]
                number += 1
    train, test = (Images(*map(np.array, zip(*parts[key], strict=True))) for key in (False, True))
    return DataSet(train, test, tuple(Path(name).stem for name in PHOTOGRAPHS))


def is_test_area(row: int, column: int) -> bool:
    """Every fifth area is for testing, spread as a knight moves."""
    return (2 * row + column) % 5 == 1


def shrink(image: np.ndarray, factor: int) -> np.ndarray:
    """An image (H, W, 3) uint8 at 1 / `factor` of its size, each pixel the rounded mean of a square; a rest is cut off."""
    height, width = (size // factor for size in image.shape[:2])
    squares = image[: height * factor, : width * factor].reshape(height, factor, width, factor, 3)
    return np.round(squares.mean(axis=(1, 3))).astype(np.uint8)


def crops(area: np.ndarray, size: int, scales: dict[int, int]) -> list[np.ndarray]:
    """Square crops (3, size, size) of an area (H, W, 3): for each scale, size * scale pixels wide, every `stride` pixels.

    `scales` maps each scale, a whole number, to its stride in pixels of the area.
    """
    found = []
    for scale, stride in scales.items():
        extent = size * scale
        for top in range(0, area.shape[0] - extent + 1, stride):
            for left in range(0, area.shape[1] - extent + 1, stride):
                crop = area[top : top + extent, left : left + extent]
                found.append(shrink(crop, scale).transpose(2, 0, 1))
    return found
