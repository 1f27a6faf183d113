"""Colorizing many photographs on all cores."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from colorpipe.app import colorize
from colorpipe.app.jobs import ExistsError, Job, find_conflicts
from colorpipe.data import gray, images
from colorpipe.models.colorizer import Colorizer
from colorpipe.runtime.errors import UserError, is_out_of_memory, name_files, printable_path
from colorpipe.runtime.parallel import WORKERS, PixelBudget, ordered_map

# One pixel that the network sees takes as much memory as this many pixels of a photograph.
NETWORK_PIXELS = 35


def colorize_all(
    jobs: list[Job],
    weights: Path,
    device_name: str,
    *,
    size: int | None,
    vividness: float | None,
    force: bool,
    strip: bool,
) -> bool:
    """Colorize photographs with a progress bar, and print how many were colorized.

    In a batch, skip existing outputs and photographs that fail. Name the failed ones on stderr.

    Args:
        jobs: The photographs.
        weights: The weight file of the colorizer.
        device_name: As in `colorize.load_model`.
        size: As in `colorize.colorize`. None selects the size of the weight file.
        vividness: As in `colorize.load_model`.
        force: Overwrite existing files.
        strip: Leave out EXIF, XMP and IPTC.

    Returns:
        Whether no photograph failed.

    Raises:
        UserError: The colorizer cannot be used, or the only photograph fails.
    """
    conflicts = find_conflicts(jobs, force=force)
    model, default_size = colorize.load_model(weights, device_name, vividness)
    workers = max(1, min(WORKERS, len(jobs)))
    if next(model.parameters()).device.type == "mps":
        workers = 1  # several threads on an Apple GPU may crash (pytorch#197805)
    torch.set_num_threads(max(1, WORKERS // workers))  # threads per photograph
    budget = PixelBudget()

    def work(pair: tuple[Job, UserError | None]) -> str | UserError:
        job, conflict = pair
        return conflict or colorize_one(
            job, model, size or default_size, budget, force=force, strip=strip
        )

    results = ordered_map(work, zip(jobs, conflicts, strict=True), workers)
    failed, existing = _print_results(jobs, results)
    _print_counts(len(jobs), failed, existing)
    return not failed


def colorize_one(
    job: Job,
    model: Colorizer,
    size: int,
    budget: PixelBudget,
    *,
    force: bool,
    strip: bool,
) -> str | UserError:
    """Colorize a photograph and write its files.

    Args:
        job: The photograph.
        model: A colorizer in eval mode.
        size: As in `colorize.colorize`.
        budget: Limits the pixels in memory over all threads.
        force: Overwrite existing files.
        strip: Leave out EXIF, XMP and IPTC.

    Returns:
        A line of notes about the photograph, which may be empty, or the error if it failed.
    """
    source = printable_path(job.source)
    try:
        with budget.spend(max(images.count_pixels(job.source), NETWORK_PIXELS * size**2)):
            photograph = images.read(job.source)
            colored = colorize.colorize(model, photograph.rgb, size)
            missing = [path for path in job.outputs() if force or not os.path.lexists(path)]
            notes = [*photograph.notes]
            if gray.classify(photograph.rgb.transpose(2, 0, 1)) == "color":
                notes.append("it was in color already")
            if job.target in missing:
                metadata = None if strip else photograph.metadata
                notes += images.write(job.target, colored, photograph.alpha, metadata)
            else:
                notes.append(f"{printable_path(job.target)} exists and is kept")
            if job.comparison in missing:
                pair = np.concatenate((colorize.to_gray(photograph.rgb), colored), axis=1)
                images.write(job.comparison, pair, None)
    except colorize.PredictionError as error:
        return UserError(f"{source}: {error}")
    except UserError as error:
        return error
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return UserError(f"{source} does not fit into memory: shrink it, or use a smaller --size")
    return f"{source}: {'; '.join(notes)}" if notes else ""


def _print_results(jobs: list[Job], results: Iterator[str | UserError]) -> tuple[list[Path], int]:
    """Print notes and errors, and return the photographs that failed and the existing outputs.

    Raises:
        UserError: The only photograph failed, or its output exists.
    """
    failed, existing = [], 0
    with tqdm(total=len(jobs), unit="photo", disable=None) as bar:
        for job, result in zip(jobs, results, strict=True):
            if isinstance(result, UserError) and len(jobs) == 1:
                raise result
            if isinstance(result, ExistsError):
                existing += 1
            elif isinstance(result, UserError):
                failed.append(job.source)
                bar.write(f"skipped: {result}", file=sys.stderr)
            elif result:
                bar.write(result, file=sys.stderr)
            bar.update()
    return failed, existing


def _print_counts(total: int, failed: list[Path], existing: int) -> None:
    counts = f"{total - existing - len(failed)} colorized, {len(failed)} skipped"
    if existing:
        subject, them = ("output exists", "it") if existing == 1 else ("outputs exist", "them")
        counts += f", {existing} {subject} already: use --force to overwrite {them}"
    print(counts)
    if failed:
        print(f"skipped: {name_files(failed)}")
