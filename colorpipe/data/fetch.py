"""Fetching a file from an https URL, a file URL or a path: resumed after a break or a kill, checked against its hash.

pooch, torch.hub, torchvision and huggingface_hub neither resume after a kill nor lock a folder nor refuse a page of HTML.
"""

import contextlib
import fcntl
import hashlib
import http.client
import os
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import IO, Any

from tqdm import tqdm

from colorpipe.runtime.errors import UserError, one_line

TIMEOUT = 60  # seconds without a byte, or below MIN_BYTES_PER_SECOND
MIN_BYTES_PER_SECOND = 1000
RETRY_DELAYS = (1, 3, 9)  # seconds
RETRY_STATUSES = (408, 425, 429)  # beside 500 and above
CHUNK = 1 << 20  # bytes
HTML = "sent an HTML page instead of the file: the address has changed, or a network asks to log in"


class SourceError(Exception):
    """What is wrong with a source: whether to retry at once, and whether the received part is worth keeping."""

    def __init__(self, message: str, *, retry: bool = False, resumable: bool = False) -> None:
        super().__init__(message)
        self.retry, self.resumable = retry, resumable


def fetch(source: str, target: Path, algorithm: str, digest: str, instead: str) -> None:
    """Put a file in place, complete and checked, or not at all.

    A file already in place with the right hash is not fetched again. A URL is retried several times; each try, and that of
    the next process after a kill, resumes where the last one stopped.

    Args:
        source: an https URL, a file URL or a path.
        target: where the file goes.
        algorithm: "md5" or "sha256".
        digest: the hash, or its beginning; empty for no check, which is reported.
        instead: what else the user can do, for the message.

    Raises:
        UserError: one line with the source, what is wrong with it, and what to do.
    """
    name = one_line(source, 1000)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target.parent):
            _fetch_locked(source, name, target, algorithm, digest)
    except SourceError as error:
        by_hand = f"put the file in place as {target}{'' if digest else f', with its {algorithm} in params.yaml'}"
        raise UserError(
            f"{name} {error}. Run the command again, {by_hand}, or {instead}"
        ) from error
    except OSError as error:
        raise UserError(
            f"{name}: {target} cannot be written: {error.strerror or error}; free space or check permissions and run "
            f"the command again, put the file in place by hand, or {instead}"
        ) from error


def check_hash(path: Path, algorithm: str, digest: str, source: str) -> None:
    """Check a file's hash, or report that none is given. Raises SourceError where it differs."""
    found = file_hash(path, algorithm)
    if not digest:
        print(f"{source}: {algorithm} not checked: params.yaml has none (it is {found})")
    elif not found.startswith(digest):
        raise SourceError(
            f"has {algorithm} {found}, expected {digest}: it is damaged, or another file"
        )


def file_hash(path: Path, algorithm: str) -> str:
    """A file's hash in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def _fetch_locked(source: str, name: str, target: Path, algorithm: str, digest: str) -> None:
    if digest and target.is_file():
        if (found := file_hash(target, algorithm)).startswith(digest):
            print(f"{target} is in place, with the right {algorithm}")
            return
        print(
            f"{target} is in place, but its {algorithm} is {found}, not {digest}: fetching {name}"
        )
    part = target.with_name(f".{target.name}.{digest or 'unchecked'}.part")
    if not digest:
        part.unlink(missing_ok=True)  # nothing could tell whether it is part of another file
    resumed = part.exists()
    try:
        _receive(source, part)
        try:
            check_hash(part, algorithm, digest, name)
        except SourceError:
            if not resumed:
                raise
            part.unlink()  # it began with another file's bytes
            _receive(source, part)
            check_hash(part, algorithm, digest, name)
        part.replace(target)
    except (SourceError, OSError) as error:
        if not getattr(
            error, "resumable", False
        ):  # nor is it on a full disk, which would stay full
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Wait until no other process fetches into `folder`: two stages may want the same file."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for another process that fetches into {folder}", flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _receive(source: str, part: Path) -> None:
    """Copy the source to `part`, resuming from what is there."""
    if not source.lower().startswith(("http://", "https://", "file:")):
        if not os.path.isfile(source):  # noqa: PTH113 - a Path raises for a name that is too long
            raise SourceError(
                "is not a file here: use an https URL, a file URL or the path of a file"
            )
        if not os.access(source, os.R_OK):
            raise SourceError("cannot be read: check the file's permissions")
        with Path(source).open("rb") as stream:
            _copy(stream, part, Path(source).stat().st_size, 0, Path(source).name)
        return
    version: dict[str, str] = {}
    for delay in (*RETRY_DELAYS, None):
        try:
            _request(source, part, version)
            return
        except SourceError as error:
            if delay is None or not error.retry:
                raise
            print(f"{one_line(source, 1000)} {error}: retrying in {delay} s", flush=True)
            time.sleep(delay)


def _request(source: str, part: Path, version: dict[str, str]) -> None:
    """One request for the rest of the file, of the same version, which the first response may name."""
    start = part.stat().st_size if part.exists() and not source.lower().startswith("file:") else 0
    conditions = {"Range": f"bytes={start}-", **version} if start else {}
    headers = {"User-Agent": "colorpipe", "Accept-Encoding": "identity", **conditions}
    try:
        with urllib.request.urlopen(
            urllib.request.Request(source, headers=headers), timeout=TIMEOUT
        ) as response:
            answer = response.headers
            if response.status != http.client.PARTIAL_CONTENT:
                start = 0  # the server sends no ranges, or has another version
                if tag := answer.get("ETag") or answer.get("Last-Modified"):
                    version["If-Range"] = tag
            elif not conditions or not answer.get("Content-Range", f"bytes {start}-").startswith(
                f"bytes {start}-"
            ):
                part.unlink(missing_ok=True)
                raise SourceError("sent another range than requested", retry=True)
            _copy(response, part, _total_size(answer, start), start, Path(source).name)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and start:
            return  # nothing is missing; the hash will tell
        retry = error.code in RETRY_STATUSES or error.code >= 500
        raise SourceError(
            f"answered {error.code} {one_line(error.reason)}", retry=retry, resumable=start > 0
        ) from error
    except (http.client.InvalidURL, ValueError) as error:
        raise SourceError(
            f"is not a valid address, or redirects to none: {one_line(error)}"
        ) from error
    except (http.client.HTTPException, OSError) as error:  # URLError and TimeoutError are OSErrors
        if isinstance(error, OSError) and not isinstance(
            error, urllib.error.URLError | TimeoutError | ConnectionError
        ):
            raise  # the disk
        raise _network_error(error, source) from error


def _network_error(error: Exception, source: str) -> SourceError:
    reason = getattr(error, "reason", error)
    if isinstance(reason, TimeoutError):
        return SourceError(f"sent nothing for {TIMEOUT} s", retry=True, resumable=True)
    if isinstance(error, urllib.error.URLError):
        network = not source.startswith("file:")
        return SourceError(
            f"cannot be reached: {one_line(reason)}", retry=network, resumable=network
        )
    return SourceError(f"broke off: {one_line(error)}", retry=True, resumable=True)


def _total_size(headers: Message, start: int) -> int | None:
    """The size of the whole file, where a response that begins at byte `start` tells it."""
    if found := re.fullmatch(r"bytes \d+-\d+/(\d{1,19})", headers.get("Content-Range", "")):
        return int(found[1])
    length = headers.get("Content-Length", "")
    return start + int(length) if re.fullmatch(r"\d{1,19}", length) else None


def _copy(stream: IO[bytes], part: Path, size: int | None, start: int, title: str) -> None:
    """Append the stream to the first `start` bytes of `part`, with a progress bar."""
    free = shutil.disk_usage(part.parent).free
    if size is not None and size - start > free:
        raise SourceError(
            f"has {size / 1e6:,.0f} MB, with {free / 1e6:,.0f} MB free in {part.parent}",
            resumable=True,
        )
    done, window_start, window_bytes = start, time.monotonic(), 0
    with (
        part.open("r+b" if start else "wb") as file,
        tqdm(
            total=size,
            initial=start,
            unit="B",
            unit_scale=True,
            desc=title,
            disable=None,
            leave=False,
        ) as bar,
    ):
        file.truncate(start)
        file.seek(start)
        while chunk := _read(stream):
            if not done and chunk.lstrip()[:5].lower().startswith((b"<!", b"<?", b"<html")):
                raise SourceError(HTML)
            file.write(chunk)
            done, window_bytes = done + len(chunk), window_bytes + len(chunk)
            bar.update(len(chunk))
            if time.monotonic() - window_start > TIMEOUT:
                if window_bytes < MIN_BYTES_PER_SECOND * TIMEOUT:
                    raise SourceError(
                        f"sent {window_bytes} bytes in {TIMEOUT} s", retry=True, resumable=True
                    )
                window_start, window_bytes = time.monotonic(), 0
    if size is not None and done != size:
        raise SourceError(
            f"broke off after {done} of {size} bytes", retry=True, resumable=done < size
        )
    if not done:
        raise SourceError("is empty")


def _read(stream: Any) -> bytes:
    """The next bytes as they arrive, or none at the end. Raises SourceError where the source, a disk or TLS, fails."""
    try:
        chunk: bytes = stream.read1(CHUNK)
    except (TimeoutError, ConnectionError):
        raise
    except OSError as error:
        raise SourceError(
            f"cannot be read: {one_line(error)}", retry=True, resumable=True
        ) from error
    return chunk
