"""The command `colorpipe colorize`: which photographs, where to, and what must not be overwritten."""

import dataclasses
import os
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from colorpipe.app import colorize
from colorpipe.data import images
from colorpipe.data.images import is_folder
from colorpipe.models.colorizer import Colorizer
from colorpipe.runtime.errors import UserError, is_out_of_memory, name_files, printable_path
from colorpipe.runtime.parallel import WORKERS, PixelBudget, ordered_map


@dataclass(frozen=True)
class Job:
    """A photograph to colorize, and where to."""

    source: Path
    target: Path
    comparison: Path | None = None  # gray and color side by side


class ExistsError(UserError):
    """The output is there already: of many photographs no failure, but what an earlier run has done."""


def plan(inputs: list[Path], out: Path, kind: str | None) -> list[Job]:
    """The jobs: one a file; a folder stands for all files in and below it but hidden ones.

    `out` is a folder, in which the files of a folder keep their relative paths; for one file it may be a file. a.jpg becomes
    a.png, but a.jpg.png where there is an a.tif too (not where there is an a.cr2, which cannot be colorized). `kind` of file
    is a suffix without its dot; None: that of `out`, else png.
    """
    if len(inputs) == 1 and not is_folder(inputs[0]) and out.suffix and not is_folder(out):
        if out.suffix.lower() not in images.WRITERS:
            raise UserError(
                f"-o {printable_path(out)}: use a folder, or a file with one of the suffixes {', '.join(images.WRITERS)}"
            )
        if kind and images.WRITERS[f".{kind}"] != images.WRITERS[out.suffix.lower()]:
            raise UserError(
                f"-o {printable_path(out)} and --format {kind} are two formats: leave one out"
            )
        return [Job(inputs[0], out)]
    suffix = f".{kind or 'png'}"
    if not is_folder(out) and (_identity(out) or out.suffix.lower() in images.WRITERS):
        raise UserError(f"-o {printable_path(out)} is a file: use a folder for several photographs")
    found = []
    for given in dict.fromkeys(inputs):
        if is_folder(given) and _identity(given) == _identity(out):
            raise UserError(
                f"-o {printable_path(out)} is the folder of the photographs: use another, in or beside it"
            )
        folder = given if is_folder(given) else given.parent
        sources = images.list_files(given, exclude=out) if is_folder(given) else [given]
        if not sources:
            raise UserError(f"{printable_path(given)} holds no files")
        found += [(source, out / source.relative_to(folder)) for source in sources]
    photographs = Counter(
        target.with_suffix(suffix)
        for _, target in found
        if target.suffix.lower() in images.SUFFIXES
    )

    def name(target: Path) -> Path:
        plain = target.with_suffix(suffix)
        others = photographs[plain] - (target.suffix.lower() in images.SUFFIXES)
        return target.with_name(target.name + suffix) if others else plain

    return [Job(source, name(target)) for source, target in found]


def run(
    work: list[Job],
    model_path: Path,
    device_name: str,
    *,
    size: int | None,
    temperature: float | None,
    force: bool,
    compare: bool,
) -> bool:
    """Do the jobs on all cores, with a progress bar, naming each failed one on stderr. True where none failed.

    Of many, those whose output is there are counted. Raises UserError where the only one fails.
    """
    allowed = list(_allowed(work, force=force, compare=compare))
    workers = max(1, min(WORKERS, len(work)))
    torch.set_num_threads(max(1, WORKERS // workers))  # of each photograph's arithmetic
    model, trained = colorize.load(model_path, device_name, temperature)
    work_on = partial(_do, model=model, size=size or trained, budget=PixelBudget())
    notes = ordered_map(work_on, allowed, workers)
    failed, there = [], 0
    with tqdm(total=len(work), unit="photo", disable=None) as bar:
        for job, note in zip(work, notes, strict=True):
            if isinstance(note, UserError) and len(work) == 1:
                raise note
            if isinstance(note, ExistsError):
                there += 1
            elif isinstance(note, UserError):
                failed.append(job.source)
                bar.write(f"skipped: {note}", file=sys.stderr)
            elif note:
                bar.write(note, file=sys.stderr)
            bar.update()
    counts = f"{len(work) - there - len(failed)} colorized, {len(failed)} skipped"
    print(f"{counts}, {there} there already: --force overwrites them" if there else counts)
    if failed:
        print(f"skipped: {name_files(failed)}")
    return not failed


def _allowed(work: list[Job], *, force: bool, compare: bool) -> Iterator[Job | UserError]:
    """Each job, or why it is refused: no original, no existing file and no other job's output may be overwritten."""
    originals = {_identity(job.source) for job in work} - {None}
    taken: dict[Path, Path] = {}
    for job in work:
        job = dataclasses.replace(
            job, comparison=job.target.with_stem(f"{job.target.stem}-compare") if compare else None
        )
        targets = [target for target in (job.target, job.comparison) if target]
        for target in targets:
            kind = UserError
            if target in taken:
                why = f"is already the output of {printable_path(taken[target])}: colorize it with another -o"
            elif _identity(target) in originals:
                why = "is an original, which is never overwritten: use another -o"
            elif os.path.lexists(target) and not force:
                kind, why = ExistsError, "exists: use --force to overwrite it"
            else:
                continue
            yield kind(f"{printable_path(job.source)}: {printable_path(target)} {why}")
            break
        else:
            taken.update(dict.fromkeys(targets, job.source))
            yield job


def _identity(path: Path) -> tuple[int, int] | None:
    """What identifies a file, whatever its path; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _do(job: Job | UserError, model: Colorizer, size: int, budget: PixelBudget) -> str | UserError:
    """Colorize a photograph and write it; a note on it, or why it failed."""
    if isinstance(job, UserError):
        return job
    source = printable_path(job.source)
    try:
        with budget.spend(images.count_pixels(job.source)):
            photograph = images.read(job.source)
            colored = colorize.colorize(model, photograph.rgb, size)
            notes = [*photograph.notes, *images.write(job.target, colored, photograph.alpha)]
            if job.comparison:
                images.write(
                    job.comparison,
                    np.concatenate((colorize.to_gray(photograph.rgb), colored), axis=1),
                    None,
                )
    except UserError as error:
        return error
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return UserError(f"{source} does not fit into memory: use a smaller --size")
    return f"{source}: {'; '.join(notes)}" if notes else ""
