"""Check params.yaml before anything runs: a mistake stops here, with one line."""

from pathlib import Path

from colorpipe import files, params
from colorpipe.errors import UserError, run

# Each colorizer's model, as in dvc.yaml's table: DVC lets no stage depend on dvc.yaml, so a test compares instead.
MODELS = {
    "resnet": "resnet18",
    "resnet_lpips": "resnet18",
    "densenet": "densenet121",
    "eccv": "eccv16",
    "resnet_large": "resnet18",
}


def main() -> None:
    """Load the parameters strictly; the file written says that they passed, and never changes."""
    p = params.load()
    name = p.pretext.colorizer
    if name not in MODELS:
        raise UserError(f"params.yaml: pretext.colorizer: should be one of {', '.join(MODELS)}, not {name!r}")
    if MODELS[name] != p.pretext.model:
        raise UserError(f"params.yaml: pretext.model: should be {MODELS[name]}, {name}'s, not {p.pretext.model}")
    files.write_text(Path("data/params.checked"), "params.yaml passed\n")


if __name__ == "__main__":
    run(main)
