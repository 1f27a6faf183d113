"""Check params.yaml and the table of colorizers before any other stage runs."""

from pathlib import Path

from colorpipe.runtime.process import run_main


def main() -> None:
    """Write data/names.json, the names of the models, losses, colorizers and baselines."""
    from colorpipe import files
    from colorpipe.config.checks import check_params
    from colorpipe.runtime.errors import UserError

    try:
        names = check_params()
    except UserError as error:
        if Path("params.yaml").is_file():
            # `dvc exp run -S` has just written the file. Without a new time stamp, git takes a file
            # of the same size and the same second for unchanged, and does not restore it.
            Path("params.yaml").touch()
        if not str(error).startswith("params.yaml"):
            raise
        raise UserError(
            f"{error}. To restore the committed parameters: "
            "git restore --staged --worktree params.yaml"
        ) from None
    files.write_json(files.NAMES, names)


if __name__ == "__main__":
    run_main(main)
