"""Metrics between the colorized photographs of any program and the originals.

The metrics are the entries of `evaluation.table` that need nothing but two images.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from colorpipe import files
from colorpipe.app.jobs import COMPARISON
from colorpipe.color import gamut, lab
from colorpipe.data import album, images
from colorpipe.data.imagenet import load_imagenet_weights
from colorpipe.evaluation.averages import Averages
from colorpipe.evaluation.table import METRICS, Metric
from colorpipe.losses import lpips
from colorpipe.losses.lpips import LPIPS
from colorpipe.runtime.errors import UserError, name_files, printable_path

VGG = files.ARCHIVES / "imagenet-lpips.pth"  # where the download stage puts it
# The metrics, and how each is computed where programs differ.
CONVENTIONS = {
    "rgb.psnr": "PSNR of each image on [0, 1], averaged over images; equal images have 100 dB",
    "rgb.ssim": "SSIM on RGB with a Gaussian window of 11 pixels, averaged over images",
    "rgb.mae": "absolute error in RGB, averaged over pixels, channels and images",
    "test.mse": "squared error of ab (D65), averaged over pixels, channels and images",
    "lpips": "LPIPS 0.1 on VGG-16, averaged over images",
    "colorfulness": "M3 of Hasler and Suesstrunk 2003, averaged over images",
    "colorfulness_distance": "difference of the two mean colorfulness values, as in DDColor",
    "auc": "Zhang et al. 2016, with distances of ab from 0 to 150",
    "auc_rebalanced": "AuC of the pixels of each true color bin, averaged over bins",
    "histogram_divergence": "Jensen-Shannon divergence of the color-bin histograms",
    "original_colorfulness": "M3 of the originals, averaged over images",
}
NO_LPIPS = (
    f"LPIPS is left out, because its VGG-16 is not at {VGG}: download imagenet.lpips.source of "
    "params.yaml to that path."
)
NO_FID = "FID is left out, because it needs thousands of images."


@dataclass(frozen=True)
class Pair:
    """A colorized image and its original, as `evaluation.table` takes them.

    Attributes:
        predicted_rgb: The colorized image as sRGB in [0, 1], (1, 3, H, W).
        true_rgb: The original as sRGB in [0, 1], (1, 3, H, W).
        lpips: The LPIPS distance, or None.
    """

    predicted_rgb: Tensor
    true_rgb: Tensor
    lpips: LPIPS | None

    @property
    def predicted_ab(self) -> Tensor:
        """The ab of the colorized image in Lab units, (1, 2, H, W)."""
        return lab.rgb_to_lab(self.predicted_rgb)[:, 1:]

    @property
    def true_ab(self) -> Tensor:
        """The ab of the original in Lab units, (1, 2, H, W)."""
        return lab.rgb_to_lab(self.true_rgb)[:, 1:]

    def compute_lpips(self) -> Tensor:
        """Compute the LPIPS distance of the two images."""
        assert self.lpips is not None
        return self.lpips.distance(self.predicted_rgb, self.true_rgb).mean()

    def to_gray(self) -> "Pair":
        """Return the pair of the gray baseline's image and the original."""
        L = lab.lightness(self.true_rgb)
        return Pair(gamut.render(L, L.new_zeros(1, 2, *L.shape[2:])), self.true_rgb, self.lpips)


@torch.no_grad()
def evaluate(predicted: Path, originals: Path, size: int, out: Path | None) -> bool:
    """Print the metrics of colorized photographs next to those of the gray baseline.

    Args:
        predicted: Folder of the colorized photographs.
        originals: Folder of the originals.
        size: All images are resized to `size` x `size` pixels first.
        out: A JSON file to write as well, or None.

    Returns:
        Whether each file has a pair and can be read.

    Raises:
        UserError: No pair can be compared.
    """
    pairs, alone = find_pairs(predicted, originals)
    distance = _load_lpips()
    metrics = [m for m in METRICS if m.key in CONVENTIONS and (m.key != "lpips" or distance)]
    colorized, baseline = (Averages(metrics, torch.device("cpu")) for _ in range(2))
    unreadable = _measure(pairs, size, distance, colorized, baseline)
    for line in unreadable:
        print(f"skipped: {line}", file=sys.stderr)
    if alone:
        print(f"skipped: not in both folders: {name_files(alone)}", file=sys.stderr)
    if not (count := colorized.count):
        raise UserError(
            f"{printable_path(predicted)}: none of its images can be compared: give both images "
            "of a pair the same file name"
        )
    results = {"predicted": colorized.compute(), "gray_baseline": baseline.compute()}
    print(f"{count} images at {size}x{size} pixels\n{_format_table(metrics, results)}")
    print(NO_FID if distance else f"{NO_LPIPS}\n{NO_FID}")
    if out:
        values = {f"{name}.{key}": v for name, part in results.items() for key, v in part.items()}
        files.write_metrics(out, {"n": count, "size": size, **values})
    return not alone and not unreadable


def _measure(
    pairs: list[tuple[Path, Path]],
    size: int,
    distance: LPIPS | None,
    colorized: Averages,
    baseline: Averages,
) -> list[str]:
    """Add pairs of images to the averages, and return what is wrong with those that fail."""
    errors = []
    for path, original in tqdm(pairs, "measuring", unit="pair", leave=False, disable=None):
        try:
            pair = Pair(_load_image(path, size), _load_image(original, size), distance)
        except UserError as error:
            errors.append(str(error))
            continue
        colorized.update(pair)  # type: ignore[arg-type]
        baseline.update(pair.to_gray())  # type: ignore[arg-type]
    return errors


def find_pairs(predicted: Path, originals: Path) -> tuple[list[tuple[Path, Path]], list[Path]]:
    """Return the pairs of images in two folders, and the files that are in one folder only.

    The pair of album/a.jpg is album/a.png or album/a.jpg.png, with any suffix. Comparisons that
    `colorize --compare` wrote are left out. Hidden files and files of the operating system or a NAS
    are named on stderr.

    Raises:
        UserError: One of the two is not a folder.
    """
    for folder in (predicted, originals):
        if not album.is_folder(folder):
            raise UserError(f"{printable_path(folder)} is not a folder: use a folder of images")
    colorized = album.list_files(predicted, exclude=originals)
    true = album.list_files(originals, exclude=predicted)
    if skipped := colorized.skipped + true.skipped:
        print(album.explain_skipped(skipped), file=sys.stderr)
    names = [path.relative_to(predicted) for path in colorized.files]
    comparisons = {name.with_stem(name.stem + COMPARISON) for name in names}
    matches = match_names(names, [path.relative_to(originals) for path in true.files])
    alone = [predicted / name for name in names if name not in matches and name not in comparisons]
    used = {originals / name for name in matches.values()}
    alone += [path for path in true.files if path not in used]
    pairs = [(predicted / name, originals / original) for name, original in matches.items()]
    return sorted(pairs), alone


def match_names(colorized: list[Path], originals: list[Path]) -> dict[Path, Path]:
    """Return the original of each colorized file that has one. Each original is used once."""
    matches: dict[Path, Path] = {}
    # a.jpg.png is first compared with a.jpg.png, then with a.jpg, then with a.jpg.tif.
    for colorized_key, original_key in ((Path, Path), (_stem, Path), (_stem, _stem)):
        candidates: dict[Path, list[Path]] = {}
        for name in sorted(set(originals) - set(matches.values()), reverse=True):
            candidates.setdefault(original_key(name), []).append(name)
        for name in colorized:
            if name not in matches and candidates.get(colorized_key(name)):
                matches[name] = candidates[colorized_key(name)].pop()
    return matches


def _stem(name: Path) -> Path:
    return name.with_suffix("")


def _load_image(path: Path, size: int) -> Tensor:
    """Load an image as sRGB in [0, 1], (1, 3, size, size)."""
    image = Image.fromarray(images.read(path).rgb)
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.LANCZOS)
    return lab.uint8_to_float(torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].contiguous())


def _load_lpips() -> LPIPS | None:
    """Return LPIPS on ImageNet's VGG-16, or None if its weights have not been downloaded."""
    if not VGG.is_file():
        return None
    config = lpips.Config(random_seed=0)  # not used with weights
    return lpips.build(config, torch.empty(0), load_imagenet_weights(VGG)).eval()


def _format_table(metrics: list[Metric], results: dict[str, dict[str, float]]) -> str:
    rows: list[tuple[str, ...]] = [
        ("metric", "unit", "better", "predicted", "gray baseline", "convention")
    ]
    for metric in metrics:
        values = (f"{part[metric.key]:.{metric.digits}f}" for part in results.values())
        better = metric.better or ""
        rows.append((metric.title, metric.unit, better, *values, CONVENTIONS[metric.key]))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
