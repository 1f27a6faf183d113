"""A training's live metrics, for `dvc exp show`, DVC's plots and editors (DVCLive); and a record of when and where it ran.

live/metrics.json holds the newest epoch of the running training and is empty when none runs; live/plots has DVCLive's
curves of the last one. Neither is a result: those are the histories in curves/.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from dvclive import Live

from colorpipe import files
from colorpipe.runtime import machine

History = Sequence[Mapping[str, float]]


@contextlib.contextmanager
def logging(name: str, elapsed: Callable[[], float]) -> Iterator[Callable[[History], None]]:
    """A function to call with the history after each epoch of the training `name`: writes curves/<name>.csv and live/.

    At the end the run is recorded, with `elapsed()` as its seconds. Raises UserError where a file cannot be written.
    """
    with files.naming_write_errors(files.LIVE):
        live = Live(str(files.LIVE), save_dvc_exp=False, dvcyaml=None, report=None)

    def log(history: History) -> None:
        files.write_history(files.curves_path(name), history)
        with files.naming_write_errors(files.LIVE):
            live.log_metric("training", name, plot=False)
            for key, value in history[-1].items():
                live.log_metric(key.replace("_", "/", 1), value, plot=key != "epoch")
            live.next_step()

    try:
        yield log
    finally:
        with files.naming_write_errors(files.LIVE):
            live.end()
        files.write_json(files.LIVE / "metrics.json", {})
    record_run(files.curves_path(name), elapsed())


def record_run(result: Path, seconds: float) -> None:
    """Record how long a result took, when, where and at which commit: in runs/, under the hash of the result.

    Not tracked by DVC: the same result takes another time on another day.
    """
    facts = {
        "seconds": seconds,
        "finished": time.strftime("%Y-%m-%d %H:%M:%S%z"),
        **machine.describe(),
    }
    files.write_json(files.run_record_path(result), {**facts, "commit": machine.commit()})
