"""A training's progress while it goes on, for `dvc exp show`, DVC's plots and editors: DVCLive's files and the curves.

live/metrics.json holds the newest epoch of what trains now, and is empty again when that ends; live/plots has DVCLive's
curves of what was trained last. Neither is a result: those are the curves, which grow by a row an epoch.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from colorpipe import environment, files, paths
from colorpipe.training import write_curves
from colorpipe.unfinished import Row, State


@contextlib.contextmanager
def training(name: str, state: State) -> Iterator[Callable[[list[Row]], None]]:
    """What to call with the curves after each epoch of the training `name`. At the end, when and where it ran is kept."""
    from dvclive import Live  # half a second, which the evaluation does without

    with files.named(paths.LIVE):
        live = Live(str(paths.LIVE), save_dvc_exp=False, dvcyaml=None, report=None)

    def log(curves: list[Row]) -> None:
        write_curves(paths.curves(name), curves)
        with files.named(paths.LIVE):
            live.log_metric("training", name, plot=False)
            for key, value in curves[-1].items():
                live.log_metric(key.replace("_", "/", 1), value, plot=key != "epoch")
            live.next_step()

    try:
        yield log
    finally:
        with files.named(paths.LIVE):
            live.end()
        files.write_json(paths.LIVE / "metrics.json", {})
    record(paths.curves(name), state.elapsed())


def record(result: Path, seconds: float) -> None:
    """Keep how long a result took, when, where and from which commit: in runs/, under the hash of the result.

    DVC does not track it: the same result may be had again, elsewhere, in another time.
    """
    about = {"seconds": seconds, "finished": time.strftime("%Y-%m-%d %H:%M:%S%z"), **environment.describe()}
    files.write_json(paths.record(result), {**about, "commit": environment.commit()})
