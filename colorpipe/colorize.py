"""Colorizing photographs of any size: the network sees a small L, its ab goes with the L of every pixel."""

import dataclasses
import os
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from colorpipe import photographs
from colorpipe.errors import UserError, out_of_memory, shown
from colorpipe.photographs import Photograph, is_folder

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from colorpipe.models.colorizer import Colorizer

LARGEST = 4096  # pixels a side that a colorizer may say it was trained on
STRIP = 2**18  # pixels that are converted at a time


@dataclass(frozen=True)
class Job:
    """A photograph to colorize, and where to."""

    source: Path
    target: Path
    pair: Path | None = None  # gray and colour side by side


def jobs(inputs: list[Path], out: Path, suffix: str) -> list[Job]:
    """What to do: a job a file, a folder standing for all files in and below it but hidden ones.

    `out` is a folder, in which the files of a folder keep their places; for one file it may be a file. a.jpg becomes a.png,
    but a.jpg.png where there is an a.tif too.
    """
    if len(inputs) == 1 and not is_folder(inputs[0]) and out.suffix and not is_folder(out):
        if out.suffix.lower() not in photographs.WRITTEN:
            raise UserError(f"-o {shown(out)}: should be a folder, or a file in {', '.join(photographs.WRITTEN)}")
        return [Job(inputs[0], out)]
    if _identity(out) and not is_folder(out):
        raise UserError(f"-o {shown(out)} is a file: several photographs need a folder")
    found = []
    for given in inputs:
        folder = given if is_folder(given) else given.parent
        sources = photographs.inside(given, leave_out=out) if is_folder(given) else [given]
        if not sources:
            raise UserError(f"{shown(given)} holds no files")
        found += [(source, out / source.relative_to(folder)) for source in sources]
    names = Counter(target.with_suffix(suffix) for _, target in found)
    return [
        Job(source, target.with_name(target.name + suffix) if names[plain := target.with_suffix(suffix)] > 1 else plain)
        for source, target in found
    ]


def run(work: list[Job], model_path: Path, device_name: str, *, size: int | None, force: bool, compare: bool) -> bool:
    """Do the jobs under a progress bar, naming on stderr each that failed; whether none did."""
    allowed = list(_allowed(work, force=force, compare=compare))
    failed = 0
    with tqdm(total=len(work), unit="photo", disable=None) as bar, ThreadPoolExecutor(1) as reader:
        photos = _read_ahead([job for job in allowed if isinstance(job, Job)], reader)
        model, trained = load(model_path, device_name)  # while the first is read
        for job in allowed:
            said = job if isinstance(job, UserError) else _do(job, next(photos), model, size or trained)
            if isinstance(said, UserError):
                failed += 1
                bar.write(f"skipped: {said}", file=sys.stderr)
            elif said:
                bar.write(said, file=sys.stderr)
            bar.update()
    print(f"{len(work) - failed} colorized, {failed} skipped")
    return not failed


def _allowed(work: list[Job], *, force: bool, compare: bool) -> Iterator[Job | UserError]:
    """Each job, or why not: no original, nothing that is there, and no other job's picture may be lost."""
    originals = {_identity(job.source) for job in work} - {None}
    taken: dict[Path, Path] = {}
    for job in work:
        job = dataclasses.replace(job, pair=job.target.with_stem(f"{job.target.stem}-compare") if compare else None)
        targets = [target for target in (job.target, job.pair) if target]
        for target in targets:
            if target in taken:
                why = f"is {shown(taken[target])} already: colorize them apart"
            elif _identity(target) in originals:
                why = "is an original, which is never overwritten: give another -o"
            elif os.path.lexists(target) and not force:
                why = "is there already: --force writes it anew"
            else:
                continue
            yield UserError(f"{shown(job.source)}: {shown(target)} {why}")
            break
        else:
            taken.update(dict.fromkeys(targets, job.source))
            yield job


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from others, whatever it is called; None where there is none to be seen."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _read_ahead(work: list[Job], reader: Executor) -> Iterator[Future[Photograph]]:
    """The photographs in turn; each next one is read meanwhile."""
    reading = [reader.submit(photographs.read, job.source) for job in work[:1]]

    def photos() -> Iterator[Future[Photograph]]:
        for job in [*work[1:], None]:
            current = reading.pop()
            current.exception()  # waits
            if job:
                reading.append(reader.submit(photographs.read, job.source))
            yield current

    return photos()


def _do(job: Job, photo: Future[Photograph], model: "Colorizer", size: int) -> str | UserError:
    """Colorize a photograph and write it: what is to be said of it, or why it failed."""
    import numpy as np

    source = shown(job.source)
    try:
        photograph = photo.result()
        picture = colorize(model, photograph.rgb, size)
        notes = [*photograph.notes, *photographs.write(job.target, picture, photograph.alpha)]
        if job.pair:
            photographs.write(job.pair, np.concatenate((in_gray(photograph.rgb), picture), axis=1), None)
    except UserError as error:
        return error
    except Exception as error:
        if not out_of_memory(error):
            raise
        return UserError(f"{source} does not fit into memory: --size makes what the network sees smaller")
    return f"{source}: {'; '.join(notes)}" if notes else ""


def load(path: Path, device_name: str) -> tuple["Colorizer", int]:
    """A colorizer ready for use on a device ("auto": a GPU where there is one), and the pixels a side it was trained on."""
    import torch

    from colorpipe import environment
    from colorpipe.models import colorizer

    environment.keep_freed_memory()
    if device_name == "auto":
        device_name = "cuda" if torch.cuda.is_available() else "cpu"
    if device_name.split(":")[0] not in ("cpu", "cuda"):
        raise UserError(f"--device {device_name}: should be cpu, cuda or cuda:<number>")
    try:
        device = torch.device(device_name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"--device {device_name} cannot be used here: {str(error).splitlines()[0]}") from None
    model, description = colorizer.load(path, device)
    size = description.get("size")
    if not (isinstance(size, list) and size and all(type(side) is int and 0 < side <= LARGEST for side in size)):
        raise UserError(f"{path} does not say on what size it was trained: train it anew with `dvc repro`")
    return model, max(size)


def colorize(model: "Colorizer", rgb: "np.ndarray", size: int) -> "np.ndarray":
    """A picture (H, W, 3) uint8 with the colours that `model` gives to its lightness: (H, W, 3) uint8.

    The network sees L at about size * size pixels, in the picture's shape. Its ab, enlarged, goes with the L of every
    pixel, which stays as it is: where sRGB has no such colour the chroma gives way.
    """
    import numpy as np
    import torch
    import torch.nn.functional as F

    from colorpipe import color

    height, width = rgb.shape[:2]
    device = next(model.parameters()).device
    with torch.inference_mode():
        rows = max(1, STRIP // width)
        strips = [slice(top, min(top + rows, height)) for top in range(0, height, rows)]
        L = torch.empty(1, 1, height, width)
        for strip in strips:
            pixels = torch.from_numpy(rgb[strip]).to(device).permute(2, 0, 1)[None]
            L[:, :, strip] = color.lightness(color.from_bytes(pixels))
        small = F.interpolate(L, small_size(height, width, size), mode="bilinear", antialias=True)
        ab = model(small.to(device))  # (1, 2, h, w)
        if not ab.isfinite().all():
            raise UserError(
                "what the colorizer gives is not finite: its weights are damaged; train it anew with `dvc repro`"
            )
        result = np.empty_like(rgb)
        for strip, part in zip(strips, _enlarged(ab, height, width, strips), strict=True):
            picture = color.faithful_picture(L[:, :, strip].to(device), part)
            result[strip] = (picture[0].permute(1, 2, 0) * 255).round().byte().cpu().numpy()
    return result


def small_size(height: int, width: int, size: int) -> tuple[int, int]:
    """The height and width in the same ratio with about size * size pixels."""
    scale = size / (height * width) ** 0.5
    return max(1, round(height * scale)), max(1, round(width * scale))


def _enlarged(ab: "Tensor", height: int, width: int, strips: list[slice]) -> Iterator["Tensor"]:
    """ab (1, 2, h, w) enlarged to (1, 2, height, width), bilinear, strip by strip: it is never in memory as a whole."""
    import torch
    import torch.nn.functional as F

    wide = F.interpolate(ab, (ab.shape[2], width), mode="bilinear")  # (1, 2, h, width)
    for strip in strips:
        rows = torch.arange(strip.start, strip.stop, device=ab.device) + 0.5
        position = (rows * ab.shape[2] / height - 0.5).clamp(0, ab.shape[2] - 1)  # among the rows of ab
        above = position.long()
        below = (above + 1).clamp(max=ab.shape[2] - 1)
        share = (position - above)[None, None, :, None]
        yield wide[:, :, above] * (1 - share) + wide[:, :, below] * share


def in_gray(rgb: "np.ndarray") -> "np.ndarray":
    """A picture (H, W, 3) uint8 as the network sees it, its lightness alone: (H, W, 3) uint8."""
    import numpy as np
    import torch

    from colorpipe import color

    gray = np.empty_like(rgb)
    rows = max(1, STRIP // rgb.shape[1])
    for top in range(0, len(rgb), rows):
        pixels = torch.from_numpy(rgb[top : top + rows]).permute(2, 0, 1)[None]
        L = color.lightness(color.from_bytes(pixels))
        picture = color.picture(L, L.new_zeros(1, 2, *L.shape[2:]))
        gray[top : top + rows] = (picture[0, 1] * 255).round().byte().numpy()[..., None]  # R, G and B alike to the bit
    return gray
