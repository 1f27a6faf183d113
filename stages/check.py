"""Check params.yaml before anything runs: a mistake stops here, with one line."""

from pathlib import Path

from colorpipe.runtime.process import run_main


def main() -> None:
    """Check the parameters; the file written says that they passed, and never changes."""
    from colorpipe import config, files  # late: Ctrl-C during the imports is one line too
    from colorpipe.runtime.errors import UserError

    try:
        config.check()
    except UserError as error:
        if Path("params.yaml").is_file():
            # `dvc exp run -S` wrote it a moment ago, and git may take a file of the same size and second for unchanged.
            Path("params.yaml").touch()
        raise UserError(
            f"{error}. To restore the committed parameters: git checkout params.yaml"
        ) from None
    files.write_text(Path("data/params.checked"), "params.yaml passed\n")


if __name__ == "__main__":
    run_main(main)
