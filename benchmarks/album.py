"""`split` on albums of large photographs: speed on one core and on all, and memory as the album grows.

python -m benchmarks.album, in a project's folder with an album's manifest: splits it, and prints JSON.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import skimage
import torch
import yaml
from PIL import Image

from benchmarks.memory import ROOT, resident
from benchmarks.tables import Table
from colorpipe import files
from colorpipe.data import bundled, folder, manifest
from colorpipe.data import split as images
from colorpipe.runtime.parallel import WORKERS, ordered_map

PHOTOGRAPHS = 2_000
SIZE = (2048, 1536)  # 3.1 megapixels
SMALL = (128, 96)
COUNTS = (1_000, 20_000)  # of small ones
SIDE = 96  # pixels, of what `split` writes


def measure(photographs: int = PHOTOGRAPHS, counts: Sequence[int] = COUNTS) -> Table:
    """Split an album of large photographs on one core and on all, and albums of small ones."""
    rows = []
    runs = [
        (photographs, SIZE, 1),
        (photographs, SIZE, WORKERS),
        *((count, SMALL, WORKERS) for count in counts),
    ]
    with tempfile.TemporaryDirectory() as temporary:
        for count, size, cores in runs:
            album = Path(temporary) / f"{count} of {size[0]}"
            if not album.exists():
                make(album, count, size)
            found = split(Path(temporary) / f"on {cores} {album.name}", album, cores)
            row = {
                "photographs": f"{count:,} of {size[0]}x{size[1]}",
                "cores": cores,
                "photographs/s": f"{count / found['seconds']:.1f}",
                "peak memory of its own (MB)": f"{found['anonymous'] / 1e6:.0f}",
                "of that, before (MB)": f"{found['before'] / 1e6:.0f}",
                "written (MB)": f"{found['written'] / 1e6:.0f}",
            }
            print(row, file=sys.stderr, flush=True)
            rows.append({**row, "raw": found})
    caption = (
        f"`split` for `folder` at {SIDE}x{SIDE} pixels, once each, without its imports. The albums are JPEG files: "
        "enlarged crops of the bundled photographs, each different. Memory of its own: anonymous pages, sampled; the files "
        "that it maps are in the system's cache, which gives them up when memory is short."
    )
    return Table("An album", caption, rows)


def make(album: Path, count: int, size: tuple[int, int]) -> None:
    """Write an album: each photograph is a crop of a bundled one, enlarged."""
    album.mkdir()
    data = Path(skimage.__file__).parent / "data"
    sources = [Image.open(data / name).convert("RGB") for name in bundled.PHOTOGRAPHS]

    def write(number: int) -> None:
        rng = np.random.default_rng(number)
        source = sources[number % len(sources)]
        left, top = (int(rng.integers(0, side // 2)) for side in source.size)
        crop = source.crop((left, top, left + source.size[0] // 2, top + source.size[1] // 2))
        crop.resize(size, Image.Resampling.BILINEAR).save(album / f"{number:06}.jpg", quality=90)

    for _ in ordered_map(write, range(count)):
        pass


def split(project: Path, album: Path, cores: int) -> dict[str, float]:
    """Split an album in a process of its own, on so many cores."""
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["datasets"]["folder"] |= {"source": str(album), "size": SIDE}
    project.mkdir()
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    raw = project / files.raw_path("folder")
    raw.mkdir(parents=True)
    manifest.write(album, raw / folder.ARCHIVE)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = ["taskset", "--cpu-list", f"0-{cores - 1}", sys.executable, "-m", "benchmarks.album"]
    done = subprocess.run(command, cwd=project, env=environment, check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Split, watching the memory."""
    torch.set_num_threads(WORKERS)
    peak, ended = resident("RssAnon"), threading.Event()
    before = peak

    def watch() -> None:
        nonlocal peak
        while not ended.wait(0.05):
            peak = max(peak, resident("RssAnon"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    images.split("folder", SIDE, 0.1, 0, 5, 5.0)
    seconds = time.perf_counter() - start
    ended.set()
    watcher.join()
    written = sum(path.stat().st_size for path in Path("data/folder").glob("*.npy"))
    print(json.dumps({"seconds": seconds, "anonymous": peak, "before": before, "written": written}))


if __name__ == "__main__":
    main()
