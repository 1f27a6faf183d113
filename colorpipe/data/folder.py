"""The folder data set: the user's own photographs, with or without a subfolder for each class.

The photographs stay where they are. `download` lists them in source.json, and `split` crops each
one to its central square and resizes it. The squares are kept in a file, so there may be more of
them than fit into memory. There is no test set; `split` draws one, and keeps near-duplicates on one
side.
"""

import io
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from colorpipe import files
from colorpipe.config import DatasetConfig
from colorpipe.data import duplicates, images
from colorpipe.data.dataset import Array, Dataset, Images
from colorpipe.data.listing import list_photographs, print_skipped, read_listed
from colorpipe.runtime.errors import UserError, convert_write_errors, name_files, one_line
from colorpipe.runtime.parallel import PixelBudget, ordered_map

MAX_NAMED = 3  # number of unreadable files that a message names


class Square(NamedTuple):
    """The central square of a photograph.

    Attributes:
        name: Path of the photograph in the folder.
        pixels: sRGB image of shape (3, size, size), uint8, or the reason why there is none.
        sha256: Hash of the photograph's file.
    """

    name: str
    pixels: Array | UserError
    sha256: str


def check_source(key: str, settings: DatasetConfig) -> None:
    """Check the source in the section `key` of params.yaml.

    Raises:
        UserError: The source is not a folder, or an md5 is given.
    """
    folder, shown = Path(settings.source), one_line(settings.source, 1000)
    if folder.is_file():
        raise UserError(
            f"{key}.source: {shown} is a file: use the path of a folder of photographs (unpack an "
            "archive first)"
        )
    if not folder.is_dir():
        raise UserError(
            f"{key}.source: there is no folder {shown}: use the path of a folder of photographs"
        )
    if settings.md5:
        raise UserError(f"{key}.md5: should be '', because a folder has no md5")


def describe_source(key: str, settings: DatasetConfig) -> dict[str, Any]:
    """Return what source.json holds: the photographs' names and hashes.

    Raises:
        UserError: The source is not a folder of photographs, or one of them cannot be read.
    """
    check_source(key, settings)
    return list_photographs(Path(settings.source))


def build(config: DatasetConfig, source: Mapping[str, Any]) -> Dataset:
    """Return the photographs at `config.size` pixels per side, sorted by name.

    Gray photographs and exact copies are left out and reported. Toned photographs are too, unless
    `config.toned` is true. Near-duplicates form a group. If all photographs are in subfolders, the
    first subfolder is the class. Otherwise there are no classes.

    Args:
        config: Settings of the data set.
        source: Content of source.json.

    Raises:
        UserError: A photograph cannot be read or has changed since it was listed.
    """
    size = config.size
    load = partial(_load_square, Path(source["folder"]), size=size, budget=PixelBudget())
    squares = tqdm(
        ordered_map(load, source["photographs"]),
        "reading",
        len(source["photographs"]),
        unit="photo",
        disable=None,
        leave=False,
    )
    names: list[str] = []
    thumbnails: list[Array] = []
    place = files.source_path("folder").parent
    with _open_unnamed_file(place) as file:
        for name, pixels in _select_squares(squares, config.toned):
            with convert_write_errors(place):
                file.write(pixels.tobytes())
                file.flush()
            names.append(name)
            thumbnails.append(duplicates.make_thumbnail(pixels))
        if not names:
            raise UserError(
                f"folder: none of its files is a color photograph ({images.KINDS}): set "
                "datasets.folder.source to a folder of photographs"
            )
        array = np.memmap(file, np.uint8, "r", shape=(len(names), 3, size, size))
    classes, labels = _label_photographs(names)
    groups = duplicates.group_duplicates(array, thumbnails)
    duplicates.print_groups(names, groups)
    print(f"folder: {len(names)} photographs, {len(classes) or 'no'} classes")
    return Dataset(Images(array, labels, groups), None, classes)


def _open_unnamed_file(folder: Path) -> IO[bytes]:
    """Open a file that is deleted when nothing uses it any more, even if the process is killed."""
    with convert_write_errors(folder):
        return tempfile.TemporaryFile(dir=folder)


def _load_square(folder: Path, entry: Mapping[str, Any], size: int, budget: PixelBudget) -> Square:
    """Load the central square of a listed photograph. Raise UserError if its file has changed."""
    name, sha256 = entry["name"], entry["sha256"]
    content = read_listed(folder, entry)
    with budget.spend(images.count_pixels(io.BytesIO(content))):
        try:
            rgb = images.read(Path(name), io.BytesIO(content)).rgb
        except UserError as error:
            return Square(name, error, sha256)
        square = ImageOps.fit(Image.fromarray(rgb), (size, size), Image.Resampling.LANCZOS)
    return Square(name, np.asarray(square).transpose(2, 0, 1), sha256)


def _select_squares(squares: Iterable[Square], use_toned: bool) -> Iterator[tuple[str, Array]]:
    """Yield names and pixels of the photographs to use, then report the others.

    Raise UserError at the end if some photographs cannot be read.
    """
    # `download` imports this module, but does not depend on colorpipe/color.
    from colorpipe.data import gray

    unreadable: list[str] = []
    without_color: list[str] = []
    toned: list[str] = []
    copies: list[str] = []
    hashes = set()
    for name, pixels, sha256 in squares:
        if isinstance(pixels, UserError):
            unreadable.append(str(pixels))
        elif sha256 in hashes:
            copies.append(name)
        else:
            hashes.add(sha256)
            kind = gray.classify(pixels)
            if kind == "gray":
                without_color.append(name)
            elif kind == "toned" and not use_toned:
                toned.append(name)
            else:
                yield name, pixels
    for text in unreadable:
        print(f"folder: unreadable: {text}")
    if unreadable:
        more = len(unreadable) - MAX_NAMED
        raise UserError(
            f"folder: repair or delete the unreadable files: {'; '.join(unreadable[:MAX_NAMED])}"
            + (f"; and {more} more" if more > 0 else "")
        )
    chroma = f"95 % of their pixels have at most {gray.MAX_CHROMA} Lab units of chroma"
    print_skipped(f"gray or nearly gray ({chroma})", without_color)
    print_skipped("toned (datasets.folder.toned=true uses them)", toned)
    print_skipped("exact copies", copies)


def _label_photographs(names: list[str]) -> tuple[tuple[str, ...], Array]:
    """Return the classes, and the label of each photograph, shape (N,), int64."""
    folders = [PurePosixPath(name).parts[:-1] for name in names]
    # A single folder that holds all photographs is not a class.
    while all(folders) and len({parts[0] for parts in folders}) == 1:
        folders = [parts[1:] for parts in folders]
    if not all(folders):
        if any(folders):
            outside = [name for name, parts in zip(names, folders, strict=True) if not parts]
            print(
                "folder: there are no classes, because some photographs are in no subfolder: "
                f"{name_files(outside)}"
            )
        return (), np.zeros(len(names), np.int64)
    classes = tuple(sorted({parts[0] for parts in folders}))
    return classes, np.array([classes.index(parts[0]) for parts in folders], np.int64)
