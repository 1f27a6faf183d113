"""CIFAR-10 (Krizhevsky 2009): 50,000 training and 10,000 test images, 32x32, from the official python archive.

Five training batches and a test batch, each a Python 2 pickle of "data" (N, 3072) uint8, channel by channel, row by row,
and "labels". They are read without the pickle module, which runs what a pickle asks for: plain values are built, what would
have been called is written down, and compared with how numpy pickles an array of whole numbers.
"""

import pickletools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from colorpipe.datasets.common import DataSet, Images, read_members
from colorpipe.errors import UserError, one_line

ARCHIVE = "cifar-10-python.tar.gz"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FOLDER = "cifar-10-batches-py"
TRAIN = [f"{FOLDER}/data_batch_{number}" for number in range(1, 6)]
TEST = [f"{FOLDER}/test_batch"]
OPERATIONS = 10**6  # of a pickle; a batch of 10,000 images takes 30,000
VALUES = {  # operations that give a value as it stands in the pickle
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
WHOLE_NUMBERS = {f"{sign}{size}" for sign in "iu" for size in (1, 2, 4, 8)}  # numpy's codes


def read(archive: Path, size: int = 32) -> DataSet:
    """The official split, at size x size pixels. Raises UserError for an archive of another form."""
    members = read_members(archive, TRAIN + TEST)
    train, test = (_join([_batch(archive, name, members[name]) for name in names]) for names in (TRAIN, TEST))
    return DataSet(train, test, CLASSES).resized(size)


def _join(batches: list[tuple[np.ndarray, np.ndarray]]) -> Images:
    images, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    return Images(images, labels, np.arange(len(images)))


def _batch(archive: Path, name: str, content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 3, 32, 32) uint8 and labels (N,) int64 of one batch."""
    try:
        batch = _unpickle(content)
        data, labels = _array(batch["data"]), _labels(batch["labels"])
    except Exception as error:  # a damaged pickle can raise anything
        raise UserError(f"{archive}: {name} is no batch of CIFAR-10 ({one_line(error)})") from error
    if data.dtype != np.uint8 or data.shape != (len(labels), 3 * 32 * 32) or labels.ndim != 1:
        raise UserError(f"{archive}: {name} is no batch of CIFAR-10: expected data (N, 3072) uint8 and N labels")
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(CLASSES):
        raise UserError(f"{archive}: {name} has labels outside 0..{len(CLASSES) - 1}")
    return data.reshape(-1, 3, 32, 32), labels.astype(np.int64)


@dataclass
class _Call:
    """A call that a pickle asks for, and the state that its result would have taken: written down, not made."""

    name: str
    arguments: tuple | None = None
    state: object = None


def _unpickle(content: bytes) -> object:
    """The strings, bytes, numbers, lists, tuples, dicts and `_Call`s of a pickle. Raises ValueError and the like for others.

    A machine with a stack, as PEP 307 has it; Python's own would hash, allocate and call as a pickle asks.
    """
    stack: list = []
    marks: list[int] = []
    memo: dict[int, object] = {}

    def since_mark() -> list:
        start = marks.pop()
        items = stack[start:]
        del stack[start:]
        return items

    def put_in(items: list) -> None:
        """Keys and values, in turn."""
        if not all(isinstance(key, str) for key in items[::2]):
            raise ValueError("a dict whose keys are no strings")
        stack[-1].update(zip(items[::2], items[1::2], strict=True))

    for count, (opcode, argument, _) in enumerate(pickletools.genops(content)):
        if count > OPERATIONS:
            raise ValueError(f"more than {OPERATIONS} operations")
        match opcode.name:
            case "PROTO" | "FRAME":
                pass
            case "STOP":
                return stack.pop()
            case "MARK":
                marks.append(len(stack))
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[opcode.name])
            case "EMPTY_LIST" | "EMPTY_DICT" | "EMPTY_TUPLE":
                stack.append({"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_TUPLE": tuple}[opcode.name]())
            case "LIST":
                stack.append(since_mark())
            case "TUPLE":
                stack.append(tuple(since_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                size = int(opcode.name[-1])
                stack[-size:] = [tuple(stack[-size:])]
            case "DICT":
                items = since_mark()
                stack.append({})
                put_in(items)
            case "APPEND":
                item = stack.pop()
                stack[-1].append(item)
            case "APPENDS":
                items = since_mark()
                stack[-1].extend(items)
            case "SETITEM":
                items = [stack.pop(-2), stack.pop()]
                put_in(items)
            case "SETITEMS":
                put_in(since_mark())
            case "PUT" | "BINPUT" | "LONG_BINPUT" if argument < 2**32:
                memo[argument] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "GLOBAL":
                stack.append(_global(*argument.split(" ")))
            case "STACK_GLOBAL":
                name = stack.pop()
                stack.append(_global(stack.pop(), name))
            case "REDUCE":
                arguments = stack.pop()
                if not isinstance(arguments, tuple):
                    raise ValueError("a call of no arguments")
                stack.append(_Call(stack.pop().name, arguments))
            case "BUILD":
                state = stack.pop()
                stack[-1].state = state
            case name if name in VALUES:
                stack.append(argument)
            case name:
                raise ValueError(f"{name} has no place in it")
    raise ValueError("no end")


def _global(module: str, name: str) -> _Call:
    """A name that numpy's arrays are pickled with."""
    known = {
        ("_codecs", "encode"),
        ("__builtin__", "bytes"),
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy._core.numeric", "_frombuffer"),
    }
    if (module.replace("numpy.core", "numpy._core"), name) not in known:
        raise ValueError(f"{module}.{name} has no place in it")
    return _Call(name)


def _array(pickled: object) -> np.ndarray:
    """The array of whole numbers that the calls stand for. Raises ValueError and the like for others."""
    match pickled:
        case _Call("_reconstruct", state=(_, shape, kind, by_columns, content)):
            order = "F" if by_columns else "C"
        case _Call("_frombuffer", (content, kind, shape, order)):
            pass
        case _:
            raise ValueError("no array where one should be")
    match content:
        case _Call("encode", (str() as text, "latin1")) | (str() as text):  # Python 3 in an old pickle, and Python 2
            content = text.encode("latin1")
        case _Call("bytes", ()):
            content = b""
    match kind:
        case _Call("dtype", (str() as code, *_), (_, "<" | ">" | "|" as byte_order, *_)) if code in WHOLE_NUMBERS:
            return np.frombuffer(content, byte_order + code).reshape(shape, order=order)
    raise ValueError("an array of something else than whole numbers")


def _labels(pickled: object) -> np.ndarray:
    """Labels from a list of whole numbers, or an array. Raises as `_array` does."""
    if not isinstance(pickled, list):
        return _array(pickled)
    if not all(type(label) is int for label in pickled):
        raise ValueError("labels that are no whole numbers")
    return np.array(pickled, np.int64)
