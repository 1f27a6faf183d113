"""Reading archives safely: named members of tar archives, in memory; nothing is ever unpacked to disk."""

import contextlib
import tarfile
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import Self

from colorpipe.runtime.errors import UserError, one_line

MAX_READ_BYTES = 2**28  # of a member read into memory; STL-10's largest has 2.2e8
MAX_MEMBER_BYTES = 2**33  # of any member; STL-10's unlabeled images have 2.8e9
MAX_ARCHIVE_BYTES = 2**36
MAX_MEMBERS = 10**6
MAX_HEADER_BYTES = 2**20  # of a long name or the like
EXTENSION_HEADERS = (b"L", b"K", b"x", b"g", b"X")  # GNU's and pax'


def read_members(archive: Path, names: Collection[str]) -> dict[str, bytes]:
    """Read regular files of a tar archive in one pass.

    Args:
        archive: a tar file, compressed or not.
        names: of the members.

    Returns:
        Their contents by name.

    Raises:
        UserError: not a tar file, a truncated one, a missing member, or a member that is refused (see `checked_members`).
    """
    found: dict[str, bytes] = {}
    with naming_damage(archive, "tar"), tarfile.open(archive, tarinfo=CheckedTarInfo) as tar:
        for member in checked_members(archive, tar):
            name = member.name.removeprefix("./")
            if name in names and member.isfile():
                found[name] = read_member(archive, tar, member)
    missing = sorted(set(names) - set(found))
    if missing:
        raise UserError(
            f"{archive} has no {missing[0]}: it is damaged, or not the official archive"
        )
    return found


@contextlib.contextmanager
def naming_damage(archive: Path, kind: str) -> Iterator[None]:
    """Turn whatever reading an archive raises into a UserError that names it."""
    try:
        yield
    except (UserError, MemoryError):
        raise
    except FileNotFoundError:
        raise UserError(f"{archive} is missing: run `dvc repro` to fetch it") from None
    except PermissionError:
        raise UserError(
            f"{archive} cannot be read: permission denied: check the file's permissions"
        ) from None
    except Exception as error:  # a damaged archive can raise anything
        raise UserError(
            f"{archive} is not a readable {kind} archive ({one_line(error)}): fetch it again"
        ) from error


class CheckedTarInfo(tarfile.TarInfo):
    """A member whose header's size is checked on reading: tarfile reads a long name into memory at once.

    A size from a pax header is checked by `checked_members`.
    """

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """The header in 512 bytes. Raises UserError for an absurd size."""
        member = super().frombuf(buf, encoding, errors)
        limit = MAX_HEADER_BYTES if member.type in EXTENSION_HEADERS else MAX_MEMBER_BYTES
        if not 0 <= member.size <= limit:
            raise UserError(
                f"the archive's member {member.name!r} claims {member.size} bytes: refused"
            )
        return member


def checked_members(archive: Path, tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members of a tar archive.

    Raises UserError for links, devices, sparse files, names that lead out of the archive, and absurd counts or sizes: a data
    set has none of them, though no member is ever unpacked.
    """
    total = 0
    for count, member in enumerate(tar, 1):
        if not 0 <= member.size <= MAX_MEMBER_BYTES:
            raise UserError(f"{archive}: {member.name!r} claims {member.size} bytes: refused")
        total += member.size
        if not (member.isfile() or member.isdir()) or member.issparse():
            raise UserError(f"{archive}: {member.name!r} is a link, a device or the like: refused")
        refuse_outside(archive, member.name)
        if count > MAX_MEMBERS or total > MAX_ARCHIVE_BYTES:
            raise UserError(
                f"{archive} claims more than {MAX_MEMBERS} members or {MAX_ARCHIVE_BYTES} bytes: refused"
            )
        yield member


def read_member(archive: Path, tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """The content of a regular file. Raises UserError where it is too large for memory, or truncated."""
    if member.size > MAX_READ_BYTES:
        raise UserError(
            f"{archive}: {member.name!r} claims {member.size} bytes, more than {MAX_READ_BYTES}: refused"
        )
    file = tar.extractfile(member)
    content = file.read() if file else b""
    if len(content) != member.size:
        raise UserError(f"{archive} is truncated within {member.name}: fetch it again")
    return content


def refuse_outside(archive: Path, name: str) -> None:
    """Raise UserError for a member's name that leads out of the archive."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or name[1:2] == ":":
        raise UserError(f"{archive}: {name!r} leads out of the archive: refused")
