"""A training's progress while it goes on, for `dvc exp show`, DVC's plots and editors: DVCLive's files and the curves.

live/metrics.json holds the newest epoch of what trains now, and is empty again when that ends; live/plots has DVCLive's
curves of what was trained last. Neither is a result: those are the curves, which grow by a row an epoch.
"""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from colorpipe import environment, paths
from colorpipe.training import Row, write_curves


@contextlib.contextmanager
def training(name: str) -> Iterator[Callable[[list[Row]], None]]:
    """What to call with the curves after each epoch of the training `name`. At the end, when and where it ran is kept."""
    from dvclive import Live  # half a second, which the evaluation does without

    begun = time.perf_counter()
    live = Live(str(paths.LIVE), save_dvc_exp=False, dvcyaml=None, report=None)

    def log(curves: list[Row]) -> None:
        write_curves(paths.curves(name), curves)
        live.log_metric("training", name, plot=False)
        for key, value in curves[-1].items():
            live.log_metric(key.replace("_", "/", 1), value, plot=key != "epoch")
        live.next_step()

    try:
        yield log
    finally:
        live.end()
        (paths.LIVE / "metrics.json").write_text("{}\n")
    record(paths.curves(name), time.perf_counter() - begun)


def record(result: Path, seconds: float) -> None:
    """Keep how long a result took, when, where and from which commit: in runs/, under the hash of the result.

    DVC does not track it: the same result may be had again, elsewhere, in another time.
    """
    about = {"seconds": seconds, "finished": time.strftime("%Y-%m-%d %H:%M:%S%z"), **environment.describe()}
    path = paths.record(result)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**about, "commit": environment.commit()}, indent=2) + "\n")
