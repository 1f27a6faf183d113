"""Compare the metrics in the workspace with those of the last commit: `make repro verify`.

On the same kind of processor with the same number of threads they are equal to the bit. Elsewhere float sums are in another
order, and a few dozen steps of training amplify that: with one thread instead of two, the losses of the default run moved by
up to a third; from a processor with bfloat16 to one where float32 stands in, by a factor of up to 2.4, and SSIM by 0.11.
Baselines, which involve no training, have to agree everywhere.
"""

import json
import subprocess
import sys
from pathlib import Path

# Tolerances by the metric's last name: (relative, absolute), the larger of the two.
TRAINED = {
    "loss": (1.5, 0.0),
    "mse": (1.5, 0.0),
    "ssim": (0.0, 0.15),
    "psnr": (0.0, 3.0),
    "colorfulness": (0.5, 0.0),
    "lpips": (1.5, 0.0),
    "auc": (0.0, 0.1),
    "auc_rb": (0.0, 0.1),
    "top1": (0.0, 0.2),
}
UNTRAINED = (1e-3, 1e-3)  # metrics/baseline


def too_far(file: str, metric: str, old: object, new: object) -> bool:
    """Whether a file's metric, by its dotted name, is outside its tolerance."""
    if not isinstance(old, float | int) or not isinstance(new, float | int):
        return old != new
    name = metric.rpartition(".")[2]
    relative, absolute = UNTRAINED if "/baseline/" in file else TRAINED.get(name, (0.0, 0.0))
    return not abs(new - old) <= max(relative * abs(old), absolute)


def baseline_mse(name: str) -> float:
    """The squared error of no color on a colorizer's data."""
    evaluation = Path(f"evaluations/{name}.json")
    if not evaluation.is_file():
        raise SystemExit(f"{evaluation} is missing: run dvc repro")
    data = json.loads(evaluation.read_text())["data"]
    for path in sorted(Path("evaluations/baseline").glob("*.json")):
        if json.loads(path.read_text())["data"] == data:
            return json.loads(Path(f"metrics/baseline/{path.name}").read_text())["test"]["mse"]
    raise SystemExit(f"no baseline for {data}: run dvc repro")


def main() -> None:
    """Print every metric that differs; exit with 1 where one is outside its tolerance or missing."""
    command = ["dvc", "metrics", "diff", "--json", "HEAD"]
    diff = json.loads(
        subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout or "{}"
    )
    failed = 0
    for path in sorted(Path("metrics").glob("*.json")):
        mse, no_color = json.loads(path.read_text())["test"]["mse"], baseline_mse(path.stem)
        if not mse < no_color:
            failed += 1
            print(
                f"NOTHING LEARNED: {path}: test.mse {mse} is not below that of no color, {no_color}"
            )
    for file, metrics in diff.items():
        for metric, values in metrics.items():
            old, new = values.get("old"), values.get("new")
            far = too_far(file, metric, old, new)
            failed += far
            print(
                f"{'TOO FAR' if far else 'differs'}: {file} {metric}: committed {old}, here {new}"
            )
    print(f"metrics: {len(diff)} files differ from the committed ones, {failed} failures")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
