"""A process that has imported the libraries; each stage or command of a project under test is a fork of it.

Imports take longer than a tiny stage: of the 7.6 seconds of an evaluation 1.9 are left. Nothing of colorpipe is imported
before the fork, and each fork is a process of its own with the folder, environment, output and exit status of the one that
asked for it.
"""

import atexit
import contextlib
import functools
import gc
import importlib
import json
import multiprocessing
import os
import runpy
import select
import socket
import subprocess
import sys
import uuid
from pathlib import Path
from typing import NoReturn

LIBRARIES = [  # what the stages, and DVC as they run in it, import
    "configobj",
    "dulwich.porcelain",
    "dvc.cachemgr",
    "dvc.cli.parser",
    "dvc.data_cloud",
    "dvc.repo.artifacts",
    "dvc.repo.experiments.run",
    "dvc.repo.plots",
    "dvc.repo.reproduce",
    "dvclive",
    "jinja2",
    "lpips",
    "matplotlib.backends.backend_agg",
    "matplotlib.pyplot",
    "networkx",
    "pandas",
    "pydantic.main",
    "pydantic.types",
    "ruamel.yaml",
    "safetensors.torch",
    "skimage.data",
    "torch._dynamo",
    "torch.distributed.launcher.api",
    "torch.utils.serialization.config",
    "torchmetrics.functional.image",
    "torchvision.models",
]
MESSAGE = 1 << 17  # bytes, at most


@functools.cache
def server() -> str:
    """Start the process, which ends with this one; the address that it listens at."""
    address = f"colorpipe-{uuid.uuid4().hex}"
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, __file__, address]
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"ready\n"
    atexit.register(process.communicate)  # which closes its standard input
    return address


def run(address: str) -> NoReturn:
    """Run in a fork what this process was asked to run, `python -m <module> ...`, and end as it ends."""
    asked = {"argv": sys.orig_argv, "cwd": str(Path.cwd()), "environment": dict(os.environ)}
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.connect(f"\0{address}")  # a name, no file
        socket.send_fds(connection, [json.dumps(asked).encode()], [0, 1, 2])
        code = int(connection.recv(MESSAGE))
    if code < 0:
        os.kill(os.getpid(), -code)
    os._exit(code)


def serve(address: str) -> None:
    """Attend to each process that asks for a fork, in a child of its own, until the tests end."""
    for name in LIBRARIES:
        importlib.import_module(name)
    gc.freeze()  # else the first collection in a fork copies the memory of all that is imported
    context = multiprocessing.get_context("fork")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(f"\0{address}")
        listener.listen()
        print("ready", flush=True)
        while sys.stdin not in select.select([sys.stdin, listener], [], [])[0]:
            with listener.accept()[0] as connection:
                context.Process(
                    target=attend, args=[connection]
                ).start()  # which waits for those that have ended


def attend(connection: socket.socket) -> None:
    """Do in a child what was asked for; its exit status goes back."""
    message, files, _, _ = socket.recv_fds(connection, MESSAGE, 3)
    child = multiprocessing.get_context("fork").Process(
        target=become, args=[json.loads(message), files]
    )
    child.start()
    child.join()
    with contextlib.suppress(BrokenPipeError):  # who asked is gone
        connection.send(str(child.exitcode).encode())


def become(asked: dict, files: list[int]) -> None:
    """The process that was asked for."""
    for number, file in enumerate(files):
        os.dup2(file, number)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - multiprocessing has opened another
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.orig_argv = asked["argv"]
    _, _, module, *arguments = asked["argv"]
    sys.argv = [module, *arguments]
    sys.path[:0] = [asked["cwd"], *os.environ["PYTHONPATH"].split(os.pathsep)]
    with contextlib.ExitStack() as at_the_end:
        if module.startswith("stages.") and "COLORPIPE_TRACE" in os.environ:
            import stage_notes  # now that the folder and the arguments are those of the stage

            stage_notes.take()
            at_the_end.callback(stage_notes.write)
        runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    serve(sys.argv[1])
