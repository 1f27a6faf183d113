"""Which photographs `colorpipe colorize` colorizes, and the files that it writes for each."""

import os
import sys
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from colorpipe.data import album, images
from colorpipe.data.album import is_folder
from colorpipe.runtime.errors import UserError, list_names, printable_path

COMPARISON = "-compare"  # ends the stem of a comparison
FileId = tuple[int, int]  # device and inode: the same for all paths of a file


@dataclass(frozen=True)
class Job:
    """A photograph to colorize, and the files to write for it.

    Attributes:
        source: The photograph.
        target: The colorized photograph.
        comparison: Gray and color side by side, or None.
    """

    source: Path
    target: Path
    comparison: Path | None = None

    def outputs(self) -> tuple[Path, ...]:
        """Return the files to write."""
        return (self.target, self.comparison) if self.comparison else (self.target,)


class ExistsError(UserError):
    """All outputs of a photograph exist already. In a batch this is not a failure."""


def plan_jobs(
    inputs: list[Path], out: Path, file_format: str | None, *, compare: bool
) -> list[Job]:
    """Return one job per photograph.

    A folder means all files in it and in its subfolders, except hidden files and files of the
    operating system or a NAS, which are named on stderr. Files keep their relative paths in the
    output folder, below the name of their folder if there are several. a.jpg becomes a.png. If
    there is an a.tif too, a.jpg becomes a.jpg.png and a.tif becomes a.tif.png.

    Args:
        inputs: Photographs and folders.
        out: A folder. For a single photograph it may be a file.
        file_format: A suffix without its dot. None means the suffix of `out` if it is a file, and
            otherwise png.
        compare: Also write gray and color side by side, as <name>-compare.<suffix>.

    Raises:
        UserError: `out` cannot be used for these inputs, or there are no photographs.
    """
    if len(inputs) == 1 and not is_folder(inputs[0]) and out.suffix and not is_folder(out):
        _check_output_file(out, file_format)
        targets = [(inputs[0], out)]
    else:
        targets = _name_targets(_list_photographs(inputs, out), f".{file_format or 'png'}")
    return [
        Job(source, target, target.with_stem(target.stem + COMPARISON) if compare else None)
        for source, target in targets
    ]


def find_conflicts(jobs: list[Job], *, force: bool) -> list[UserError | None]:
    """Return for each job an error if one of its outputs must not be written, and otherwise None.

    No job may overwrite an original or an output of an earlier job. Without `force`, a job whose
    outputs all exist has an ExistsError. If only some exist, the job writes the missing ones.
    """
    originals = {file_id for job in jobs if (file_id := _file_id(job.source))}
    writers: dict[Path, Path] = {}  # the photograph that each output belongs to
    conflicts = []
    for job in jobs:
        outputs = job.outputs()
        errors = (_find_conflict(job, path, originals, writers) for path in outputs)
        conflict = next(filter(None, errors), None)
        if conflict is None and not force and all(map(os.path.lexists, outputs)):
            name = printable_path(job.target)
            conflict = ExistsError(f"{name} exists: use --force to overwrite it")
        if conflict is None or isinstance(conflict, ExistsError):
            writers |= dict.fromkeys(outputs, job.source)
        conflicts.append(conflict)
    return conflicts


def _find_conflict(
    job: Job,
    output: Path,
    originals: Collection[FileId],
    writers: Mapping[Path, Path],
) -> UserError | None:
    source, name = printable_path(job.source), printable_path(output)
    if output in writers:
        first = printable_path(writers[output])
        return UserError(f"{source}: {name} is already the output of {first}: use another -o")
    if _file_id(output) in originals:
        place = name if _file_id(output) == _file_id(job.source) else f"{source}: {name}"
        return UserError(f"{place} is an original, which is never overwritten: use another -o")
    return None


def _check_output_file(out: Path, file_format: str | None) -> None:
    writer = images.WRITERS.get(out.suffix.lower())
    if writer is None:
        raise UserError(
            f"-o {printable_path(out)}: create this folder first, or use a file with one of the "
            f"suffixes {', '.join(images.WRITERS)}"
        )
    if file_format and images.WRITERS[f".{file_format}"] != writer:
        raise UserError(
            f"-o {printable_path(out)}: its suffix contradicts --format {file_format}: leave out "
            f"the format, or use the suffix .{file_format}"
        )


def _list_photographs(inputs: list[Path], out: Path) -> list[tuple[Path, Path]]:
    """Return each photograph with its path in the folder `out`, which has the original suffix."""
    is_file = not is_folder(out) and (_file_id(out) or out.suffix.lower() in images.WRITERS)
    if is_file:
        raise UserError(f"-o {printable_path(out)} is a file: use a folder for several photographs")
    paths = _skip_output_folder(list(dict.fromkeys(inputs)), out)
    several = sum(map(is_folder, paths)) > 1
    photographs, empty = [], []
    for path in paths:
        if not is_folder(path):
            photographs.append((path, out / path.name))
            continue
        name = path.resolve().name if path.name in ("", "..") else path.name
        folder = out / name if several else out
        if _file_id(path) in (_file_id(out), _file_id(folder)):
            raise UserError(
                f"-o {printable_path(out)} is the folder of the photographs: use another folder"
            )
        sources, skipped = album.list_files(path, exclude=out)
        if skipped:
            print(album.explain_skipped(skipped), file=sys.stderr)
        if not sources:
            empty.append(path)
        photographs += [(source, folder / source.relative_to(path)) for source in sources]
    if not photographs:
        raise UserError(f"no files in {list_names(empty or inputs)}: use another folder")
    if empty:
        print(f"skipped, without files: {list_names(empty)}", file=sys.stderr)
    unique: dict[Path, tuple[Path, Path]] = {}
    for source, target in photographs:
        unique.setdefault(source.absolute(), (source, target))
    return list(unique.values())


def _skip_output_folder(paths: list[Path], out: Path) -> list[Path]:
    """Skip the folder `out` among several paths. A pattern such as scans/* may include it."""
    same = [path for path in paths if is_folder(path) and _file_id(path) == _file_id(out)]
    if len(paths) == 1 or not same:
        return paths
    print(f"skipped, because it is the output folder: {list_names(same)}", file=sys.stderr)
    return [path for path in paths if path not in same]


def _name_targets(photographs: list[tuple[Path, Path]], suffix: str) -> list[tuple[Path, Path]]:
    """Replace the suffix of each target, or append to it if several photographs have that name.

    Names that differ only in case are the same, as on macOS, so a.jpg and A.tif keep their
    suffixes. A file that cannot be colorized, such as a.cr2, does not change the name of a.jpg.
    """

    def can_be_read(path: Path) -> bool:
        return path.suffix.lower() in images.SUFFIXES

    counts = Counter(
        str(target.with_suffix(suffix)).casefold()
        for _, target in photographs
        if can_be_read(target)
    )
    targets = []
    for source, target in photographs:
        name = target.with_suffix(suffix)
        others = counts[str(name).casefold()] - can_be_read(target)
        targets.append((source, target.with_name(target.name + suffix) if others else name))
    return targets


def _file_id(path: Path) -> FileId | None:
    """Return the identity of a file, or None if there is no file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
