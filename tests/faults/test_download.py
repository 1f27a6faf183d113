import hashlib
import http.server
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision

from colorpipe import config, files, weights
from colorpipe.config import ImageNetConfig, Params
from colorpipe.data import fetch as fetching
from colorpipe.data.download import download
from colorpipe.data.fetch import fetch
from colorpipe.data.imagenet import read_torchvision
from colorpipe.runtime.errors import UserError

CONTENT = b"an archive" * 1000
MD5 = hashlib.md5(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.hits += 1
        if self.path == "/missing":
            self.send_error(404)
            return
        if self.path == "/error" or (self.path == "/error-once" and self.server.hits == 1):
            self.send_error(503)
            return
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/page")
            self.end_headers()
            return
        if self.path == "/loop":
            self.send_response(302)
            self.send_header("Location", "/loop")
            self.end_headers()
            return
        if self.path == "/odd":
            self.send_response(500, "\x1b[31m" + "x" * 5000)
            self.end_headers()
            return
        if self.path == "/chunked":
            begun = int(self.headers.get("Range", "bytes=0-")[6:-1])
            self.server.asked.append(begun)
            end = begun + 4000 if self.server.hits < 3 else len(CONTENT)
            part = CONTENT[begun:end]
            head = f"HTTP/1.1 {206 if begun else 200} OK\r\nTransfer-Encoding: chunked\r\n\r\n{len(part):x}\r\n".encode()
            self.wfile.write(head + part + b"\r\n" + (b"0\r\n\r\n" if end == len(CONTENT) else b""))
            return
        content = b"\n<!DOCTYPE html><title>Log in</title>" if self.path == "/page" else CONTENT
        content = b"" if self.path == "/empty" else content
        if self.path == "/unasked":
            self.send_response(206)
            self.send_header("Content-Range", f"bytes 0-99/{len(content)}")
            self.end_headers()
            self.wfile.write(content[:100])
            return
        begun = int(self.headers.get("Range", "bytes=0-")[6:-1]) if self.path != "/no-parts" else 0
        tag = '"old"' if self.path == "/changed" and self.server.hits == 1 else '"new"'
        if self.headers.get("If-Range", tag) != tag:
            begun = 0
        if tag == '"old"':
            content = b"x" * len(content)
        self.server.asked.append(begun)
        self.send_response(206 if begun else 200)
        self.send_header("ETag", tag)
        missing = {"/short": 500, "/huge": 10**18 - len(content)}.get(self.path, 0)
        self.send_header("Content-Length", str(len(content) - begun + missing))
        if begun and self.path == "/other-part":
            self.send_header("Content-Range", f"bytes {begun - 1}-{len(content)}/{len(content)}")
        if begun and self.path == "/steps":
            self.send_header("Content-Range", f"bytes {begun}-{begun + 3999}/{len(content)}")
            content = content[: begun + 4000]
        if self.path == "/packed":
            self.send_header("Content-Encoding", "gzip")
        if self.path == "/log-in":
            self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        if self.path == "/slow":
            for byte in content[begun : begun + 100]:
                self.wfile.write(bytes([byte]))
                self.server.stop.wait(0.02)
            return
        if self.path in ("/cut", "/no-parts", "/other-part", "/changed") and self.server.hits < 3:
            self.wfile.write(content[begun : begun + 3000])
            return  # and the connection is closed
        if self.path == "/silent":
            self.server.stop.wait(5)
            return
        self.wfile.write(content[begun:])

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.hits, server.asked, server.stop = 0, [], threading.Event()
        server.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.stop.set()
        server.shutdown()


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch):
    monkeypatch.setattr(fetching, "RETRY_DELAYS", (0.01, 0.01))
    monkeypatch.setattr(fetching, "TIMEOUT", 0.3)


def names_in(folder):
    return [path.name for path in folder.iterdir()] if folder.exists() else []


def test_http_with_the_right_md5_is_fetched_once(server, tmp_path):
    target = tmp_path / "raw" / "archive.tar.gz"
    for _ in range(2):
        fetch(f"{server.url}/archive", target, "md5", MD5, "do without")
    assert target.read_bytes() == CONTENT
    assert server.hits == 1
    target.write_bytes(b"damaged since")
    fetch(f"{server.url}/archive", target, "md5", MD5, "do without")
    assert target.read_bytes() == CONTENT
    assert names_in(target.parent) == ["archive.tar.gz"]


@pytest.mark.parametrize(
    ("path", "digest", "message"),
    [
        ("/archive", "0" * 32, f"has md5 {MD5}, expected 0000"),
        ("/missing", MD5, "answered 404 Not Found"),
        ("/short", MD5, "broke off after 10000 of 10500 bytes"),
        ("/error", MD5, "answered 503 Service Unavailable"),
        ("/moved", MD5, "sent an HTML page instead of the file"),
        ("/silent", MD5, "sent nothing for 0.3 s"),
        ("/slow", MD5, r"sent \d+ bytes in 0.3 s"),
        ("/unasked", "", "sent another range than requested"),
        ("/empty", "", "is empty"),
        ("/loop", MD5, "answered 302 The HTTP server returned a redirect error"),
        ("/odd", MD5, r"answered 500 .x1b\[31mxxx"),
    ],
)
def test_a_failure_is_named_and_leaves_nothing(server, tmp_path, path, digest, message):
    with pytest.raises(UserError, match=message) as raised:
        fetch(server.url + path, tmp_path / "raw" / "a", "md5", digest, "do without")
    assert server.url + path in str(raised.value)
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 600
    assert "Run the command again, put the file in place as " in str(raised.value)
    assert "or do without" in str(raised.value)
    assert not (tmp_path / "raw" / "a").exists()


def test_a_retry_resumes(server, tmp_path, capsys):
    fetch(f"{server.url}/cut", tmp_path / "a", "md5", MD5, "do without")
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert server.asked == [0, 3000, 6000]
    assert capsys.readouterr().out.count("broke off") == 2
    assert names_in(tmp_path) == ["a"]


def test_a_retry_resumes_a_chunked_response_too(server, tmp_path):
    fetch(f"{server.url}/chunked", tmp_path / "a", "md5", MD5, "do without")
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert server.asked == [0, 4000, 8000]


@pytest.mark.parametrize("digest", [MD5, ""])
@pytest.mark.parametrize("path", ["/other-part", "/changed"])
def test_another_range_than_requested_is_refused(server, tmp_path, path, digest):
    fetch(server.url + path, tmp_path / "a", "md5", digest, "do without")
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_a_server_that_gives_a_little_at_a_time(server, tmp_path):
    (tmp_path / f".a.{MD5}.part").write_bytes(CONTENT[:1])
    fetch(f"{server.url}/steps", tmp_path / "a", "md5", MD5, "do without")
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert server.asked == [1, 4001, 8001]


@pytest.mark.parametrize("path", ["/packed", "/log-in"])
def test_the_hash_decides_whatever_the_header_says(server, tmp_path, path):
    fetch(server.url + path, tmp_path / "a", "md5", MD5, "do without")
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_several_at_once_fetch_one_after_another(server, tmp_path, capsys):
    with ThreadPoolExecutor(3) as pool:
        wanted = [server.url + "/cut", tmp_path / "a", "md5", MD5, "do without"]
        for done in [pool.submit(fetch, *wanted) for _ in range(3)]:
            done.result()
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert server.asked == [0, 3000, 6000]
    assert capsys.readouterr().out.count("is in place") == 2


@pytest.mark.parametrize("path", ["/no-parts", "/error-once"])
def test_a_server_without_parts_or_with_a_fault_that_passes(server, tmp_path, path):
    fetch(server.url + path, tmp_path / "a", "md5", MD5, "do without")
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_what_a_killed_process_had_is_not_fetched_again(server, tmp_path):
    (tmp_path / f".a.{MD5}.part").write_bytes(CONTENT[:7000])
    fetch(f"{server.url}/archive", tmp_path / "a", "md5", MD5, "do without")
    assert server.asked == [7000]
    (tmp_path / f".b.{MD5}.part").write_bytes(b"something else")
    fetch(f"{server.url}/archive", tmp_path / "b", "md5", MD5, "do without")
    assert server.asked[1:] == [14, 0]
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() == CONTENT


def test_no_room_for_it(server, tmp_path):
    with pytest.raises(
        UserError,
        match=r"/huge has 1,000,000,000,000 MB, with [\d,]+ MB free in .*put the file in place",
    ):
        fetch(f"{server.url}/huge", tmp_path / "a", "md5", MD5, "do without")
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("source", ["/proc/self/mem", "file:///proc/self/mem"])
@pytest.mark.skipif(
    not Path("/proc/self/mem").exists(), reason="no file here that may be opened and not read"
)
def test_a_source_that_cannot_be_read_is_named(tmp_path, source):
    with pytest.raises(
        UserError, match=f"^{source} cannot be read: .*(Input/output error).*put the file in place"
    ):
        fetch(source, tmp_path / "a", "md5", MD5, "do without")


def test_a_failed_fetch_keeps_what_was_there(server, tmp_path):
    (tmp_path / "a").write_bytes(b"older")
    with pytest.raises(UserError):
        fetch(f"{server.url}/archive", tmp_path / "a", "md5", "0" * 32, "do without")
    assert (tmp_path / "a").read_bytes() == b"older"


def test_a_path_and_a_file_url(tmp_path, capsys):
    (tmp_path / "source").write_bytes(CONTENT)
    fetch(str(tmp_path / "source"), tmp_path / "a", "md5", MD5, "do without")
    fetch((tmp_path / "source").as_uri(), tmp_path / "b", "md5", MD5, "do without")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() == CONTENT
    assert capsys.readouterr().out == ""
    fetch(str(tmp_path / "source"), tmp_path / "c", "md5", "", "do without")
    assert capsys.readouterr().out.count("\n") == 1


@pytest.mark.parametrize(
    "source",
    [
        "no/such/file",
        "ftp://127.0.0.1/x",
        "http://127.0.0.1:1/x",
        "file:///no/such/file",
        "http://[x",
    ],
)
def test_a_source_that_is_not_there_is_named(source, tmp_path):
    with pytest.raises(UserError, match=re.escape(source)):
        fetch(source, tmp_path / "a", "md5", MD5, "do without")


def changed(params: Params, data: str, **changes: object) -> Params:
    """The parameters with other settings of a data set."""
    return params.model_copy(
        update={
            "datasets": {**params.datasets, data: params.data("photos").model_copy(update=changes)}
        }
    )


def test_photos_are_bundled_with_their_md5(tmp_path, monkeypatch):
    params = config.load_params()
    params = params.model_copy(update={"losses": {"mse": {}, "lpips": {"random_seed": 7}}})
    monkeypatch.chdir(tmp_path)
    download("photos", params)
    assert names_in(files.raw_path("photos")) == ["photos.tar"]
    assert weights.load(files.init_weights_path("photos", "lpips")) == (
        {},
        {"weights": "random", "random_seed": 7},
    )
    for name in ("resnet18", "densenet121", "none", "mse"):
        assert weights.load(files.init_weights_path("photos", name)) == ({}, {"weights": "random"})
    with pytest.raises(UserError, match="expected ffff"):
        download("photos", changed(params, "photos", md5="f" * 32))
    with pytest.raises(UserError, match="no archive is bundled for cifar10"):
        download("cifar10", changed(params, "cifar10"))


def test_an_archive_put_in_place_is_used_and_stays(server, tmp_path, monkeypatch):
    params = config.load_params()
    monkeypatch.chdir(tmp_path)
    place = files.ARCHIVES / "cifar-10-binary.tar.gz"
    place.parent.mkdir(parents=True)
    place.write_bytes(CONTENT)
    download("cifar10", changed(params, "cifar10", source=f"{server.url}/archive", md5=MD5))
    assert server.hits == 0
    assert (files.raw_path("cifar10") / place.name).read_bytes() == place.read_bytes() == CONTENT
    assert names_in(files.raw_path("cifar10")) == [place.name]


def test_imagenet_weights_are_fetched_checked_and_kept(tmp_path, monkeypatch):
    """Files in torchvision's form, DenseNet's with the names that its real file has."""
    params = config.load_params()
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    resnet = torchvision.models.resnet18().state_dict()
    densenet = torchvision.models.densenet121().state_dict()
    old_names = {
        name.replace("norm1.", "norm.1.")
        .replace("norm2.", "norm.2.")
        .replace("conv1.", "conv.1.")
        .replace("conv2.", "conv.2.")
        if "denselayer" in name
        else name: tensor
        for name, tensor in densenet.items()
    }
    vgg = {"features.0.weight": torch.rand(64, 3, 3, 3), "classifier.0.weight": torch.rand(2, 2)}
    imagenet = {}
    for name, state in (("resnet18", resnet), ("densenet121", old_names), ("lpips", vgg)):
        torch.save(state, tmp_path / f"{name}.pth")
        digest = hashlib.sha256((tmp_path / f"{name}.pth").read_bytes()).hexdigest()
        imagenet[name] = ImageNetConfig(
            source=(tmp_path / f"{name}.pth").as_uri(), sha256=digest[:8]
        )
    params = params.model_copy(update={"imagenet": imagenet})
    wanted = {"pretrained": True, "lpips_weights": "imagenet"}
    download("photos", changed(params, "photos", **wanted))

    tensors, metadata = weights.load(files.init_weights_path("photos", "resnet18"))
    assert metadata["weights"] == "imagenet"
    assert tensors.keys() == {name for name in resnet if not name.startswith("fc.")}
    assert torch.equal(tensors["conv1.weight"], resnet["conv1.weight"])
    tensors, _ = weights.load(files.init_weights_path("photos", "densenet121"))
    assert tensors.keys() == {
        name.removeprefix("features.") for name in densenet if name.startswith("features.")
    }
    name = "denseblock1.denselayer2.norm2.weight"
    assert torch.equal(tensors[name], densenet[f"features.{name}"])
    assert weights.load(files.init_weights_path("photos", "lpips"))[0].keys() == {"0.weight"}
    assert weights.load(files.init_weights_path("photos", "none"))[0] == {}

    for name in imagenet:
        (tmp_path / f"{name}.pth").unlink()  # kept in data/archives: not fetched again
    download("photos96", changed(params, "photos96", **wanted))
    assert weights.load(files.init_weights_path("photos96", "resnet18"))[1]["weights"] == "imagenet"


def test_weights_of_another_kind_are_named(tmp_path):
    (tmp_path / "w.pth").write_bytes(b"nothing of the kind")
    with pytest.raises(UserError, match=r"w\.pth is not a complete file of torchvision weights"):
        read_torchvision(tmp_path / "w.pth")
    np.save(tmp_path / "w.npy", np.zeros(3))
    with pytest.raises(UserError, match=r"w\.npy is not a complete file"):
        read_torchvision(tmp_path / "w.npy")
