"""Check params.yaml before anything runs: a mistake stops here, with one line."""

from pathlib import Path

from colorpipe import params
from colorpipe.errors import run


def main() -> None:
    """Load the parameters strictly; the file written says that they passed, and never changes."""
    params.load()
    Path("data/params.checked").write_text("params.yaml passed colorpipe.params.load\n")


if __name__ == "__main__":
    run(main)
