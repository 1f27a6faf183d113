"""Tar archives: named files are read in memory, and nothing is unpacked to disk."""

import tarfile
import zlib
from collections.abc import Collection, Mapping

from colorpipe import files
from colorpipe.runtime.errors import UserError, one_line


def read_members(
    source: Mapping[str, str], names: Collection[str], official: str
) -> dict[str, bytes]:
    """Return the content of files in a tar archive, by name. The archive is read in one pass.

    Args:
        source: The archive's path, relative to the project's root, and its md5, as `download`
            writes them to source.json.
        names: Names of the files in the archive.
        official: Name of the archive that has these files, for error messages.

    Raises:
        UserError: The archive is missing, has another md5, cannot be read or lacks a file.
    """
    archive = files.ROOT / source["archive"]
    if not archive.is_file() or files.hash_file(archive, "md5") != source["md5"]:
        raise UserError(
            f"{archive} is missing or has changed since the download stage: run that stage again "
            "with `dvc repro --force --single-item download`"
        )
    members: dict[str, bytes] = {}
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                name = member.name.removeprefix("./")
                file = tar.extractfile(member) if name in names and member.isfile() else None
                if file:
                    members[name] = file.read()
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise UserError(
            f"{archive} is not a readable tar archive ({one_line(error)}): use {official}"
        ) from error
    if missing := sorted(set(names) - set(members)):
        raise UserError(f"{archive} has no {missing[0]}: use {official}")
    return members
