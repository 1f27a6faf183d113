"""Check params.yaml before anything runs: a mistake stops here, with one line."""

from pathlib import Path

from colorpipe.runtime.process import run_main


def main() -> None:
    """Check the parameters; the file written says that they passed, and never changes."""
    from colorpipe import config, io  # late: Ctrl-C during the imports is one line too

    config.check()
    io.write_text(Path("data/params.checked"), "params.yaml passed\n")


if __name__ == "__main__":
    run_main(main)
