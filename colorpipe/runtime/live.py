"""Live metrics of the current training run, for `dvc exp show`, DVC's plots and editors (DVCLive).

live/metrics.json holds the latest epoch of the current run, and is empty otherwise. live/plots has
DVCLive's curves of the last run. Neither is a result: the results are in curves/.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from dvclive import Live

from colorpipe.runtime.errors import convert_write_errors


@contextlib.contextmanager
def live_metrics(folder: Path, training: str) -> Iterator[Callable[[Mapping[str, float]], None]]:
    """Yield a function that logs an epoch's metrics.

    Args:
        folder: The folder that DVCLive writes to.
        training: The name of the training run.

    Raises:
        UserError: A file in `folder` cannot be written.
    """
    with convert_write_errors(folder):
        live = Live(str(folder), save_dvc_exp=False, dvcyaml=None, report=None)

    def log(epoch: Mapping[str, float]) -> None:
        with convert_write_errors(folder):
            live.log_metric("training", training, plot=False)
            for key, value in epoch.items():
                live.log_metric(key.replace("_", "/", 1), value, plot=key != "epoch")
            live.next_step()

    try:
        yield log
    finally:
        with convert_write_errors(folder):
            live.end()
            (folder / "metrics.json").write_text("{}\n")
