"""Downloads over HTTP on the loopback address, local files, and their faults."""

import hashlib
import http.server
import os
import re
import threading
import time
from pathlib import Path

import archives
import numpy as np
import pytest
import torch
import torchvision
from limits import no_file_larger_than
from project import ROOT

from colorpipe import config, files, weights
from colorpipe.config import ImageNetConfig, Params
from colorpipe.data import cifar10
from colorpipe.data.download import download, find_file, find_source
from colorpipe.data.imagenet import load_imagenet_weights
from colorpipe.models.loading import build_colorizer, initialize
from colorpipe.runtime.errors import UserError

CONTENT = b"an archive" * 10_000
PARAMS = config.load_params(ROOT / "params.yaml")
HASHES = {name: hashlib.new(name, CONTENT).hexdigest() for name in ("md5", "sha256")}
# torch.hub and torchvision leave the closing of a failed connection to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests.append(self.path)
        if self.path == "/missing":
            self.send_error(404)
            return
        content = self.server.contents.get(self.path, CONTENT)
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[:5000] if self.path == "/cut" else content)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.requests, server.contents = [], {}
        server.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch) -> Path:
    """Work in a folder that holds only the names that the check stage writes."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    files.write_json(files.NAMES, {"models": list(PARAMS.models), "losses": list(PARAMS.losses)})
    return folder


def changed(data: str, **changes: object) -> Params:
    """Return the parameters with other settings of a data set."""
    settings = PARAMS.data(data).model_copy(update=changes)
    return PARAMS.model_copy(update={"datasets": {**PARAMS.datasets, data: settings}})


def start_files(data: str) -> list[str]:
    """Return the names of a data set's initial weights, in the order of params.yaml."""
    names = {path.stem for path in files.start_path(data, "any").parent.iterdir()}
    ordered = [name for name in (*PARAMS.models, *PARAMS.losses) if name in names]
    return ordered + sorted(names - set(ordered))


@pytest.mark.parametrize("algorithm", HASHES)
def test_a_url_is_downloaded_once(server, algorithm):
    digest = HASHES[algorithm]
    for _ in range(2):
        path = find_file(f"{server.url}/archive", "a", algorithm, digest, "do without")
        assert path == files.ARCHIVES / "a"
        assert path.read_bytes() == CONTENT
    assert set(server.requests) == {"/archive"}
    before = len(server.requests)
    find_file(f"{server.url}/archive", "a", algorithm, digest, "do without")
    assert len(server.requests) == before
    path.write_bytes(CONTENT[:3000])  # as if curl had been killed
    find_file(f"{server.url}/archive", "a", algorithm, digest, "do without")
    assert path.read_bytes() == CONTENT
    assert list(files.ARCHIVES.iterdir()) == [path]


def test_leftovers_of_killed_downloads_are_deleted_after_a_day(server):
    old, new = (files.ARCHIVES / f".download-{name}" for name in ("old", "new"))
    for folder in (old, new):
        folder.mkdir(parents=True)
        (folder / "a.partial").write_bytes(CONTENT)
    yesterday = time.time() - 25 * 60 * 60
    os.utime(old, (yesterday, yesterday))
    find_file(f"{server.url}/archive", "a", "md5", HASHES["md5"], "do without")
    assert sorted(files.ARCHIVES.iterdir()) == [new, files.ARCHIVES / "a"]


@pytest.mark.parametrize("algorithm", HASHES)
@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/other", "corrupted|invalid hash value"),
        ("/cut", "corrupted|invalid hash value|IncompleteRead"),
        ("/missing", "HTTP Error 404"),
        ("http://127.0.0.1:1/x", "Connection refused"),
        ("http://[x", "Invalid IPv6 URL"),
    ],
)
def test_a_failed_download_is_named_and_leaves_nothing(server, algorithm, path, message):
    server.contents["/other"] = b"\n<!DOCTYPE html><title>Log in</title>"
    source = path if path.startswith("http") else server.url + path
    files.ARCHIVES.mkdir(parents=True)
    (files.ARCHIVES / "older").write_bytes(b"older")
    with pytest.raises(UserError, match=message) as raised:
        find_file(source, "a", algorithm, HASHES[algorithm], "do without")
    text = str(raised.value)
    digest = HASHES[algorithm]
    assert text.startswith(f"{source}: the file with the {algorithm} {digest} cannot be downloaded")
    remedy = "run the command again, put the file into place as data/archives/a, or do without"
    assert text.endswith(f"): {remedy}")
    assert text.isprintable()
    assert [path.name for path in files.ARCHIVES.iterdir()] == ["older"]


@pytest.mark.parametrize("algorithm", HASHES)
def test_a_failed_download_keeps_the_file_in_place(server, algorithm):
    files.ARCHIVES.mkdir(parents=True)
    (files.ARCHIVES / "a").write_bytes(b"another version")
    with pytest.raises(UserError, match="404"):
        find_file(f"{server.url}/missing", "a", algorithm, HASHES[algorithm], "do without")
    assert (files.ARCHIVES / "a").read_bytes() == b"another version"


@pytest.mark.parametrize("algorithm", HASHES)
def test_a_disk_that_fills_up_during_a_download_is_named(server, algorithm):
    with (
        no_file_larger_than(1000),
        pytest.raises(UserError, match=r"File too large.*put the file into place"),
    ):
        find_file(f"{server.url}/archive", "a", algorithm, HASHES[algorithm], "do without")
    assert list(files.ARCHIVES.iterdir()) == []


def test_a_download_that_was_killed_is_not_accepted(server):
    """A killed process leaves part of the file in a temporary folder."""
    (files.ARCHIVES / ".download-x").mkdir(parents=True)
    (files.ARCHIVES / ".download-x/a").write_bytes(CONTENT[:3000])
    path = find_file(f"{server.url}/archive", "a", "md5", HASHES["md5"], "do without")
    assert server.requests
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("algorithm", HASHES)
def test_local_files_stay_where_they_are(tmp_path, algorithm):
    (tmp_path / "an archive").write_bytes(CONTENT)
    digest = HASHES[algorithm]
    for source in (
        "../an archive",
        str(tmp_path / "an archive"),
        (tmp_path / "an archive").as_uri(),
    ):
        path = find_file(source, "a", algorithm, digest, "do without")
        assert path.samefile(tmp_path / "an archive")
    assert not files.ARCHIVES.exists()
    with pytest.raises(UserError, match=f"^../an archive has the {algorithm} {digest}, not 0000"):
        find_file("../an archive", "a", algorithm, "0" * 32, "do without")


@pytest.mark.parametrize("source", ["no/such/file", "ftp://127.0.0.1/x", "file:///no/such/file"])
def test_a_source_that_does_not_exist_is_named(source):
    with pytest.raises(UserError, match=f"^{source} is not a file: use an https URL or the path"):
        find_file(source, "a", "md5", HASHES["md5"], "do without")


def test_an_archive_without_md5_is_refused_with_the_md5_of_a_local_file(tmp_path):
    archive, *_ = archives.cifar10(tmp_path / "c.tar.gz", 1)
    md5 = archives.describe(archive)["md5"]
    local = PARAMS.data("cifar10").model_copy(update={"source": str(archive), "md5": ""})
    message = rf"^datasets\.cifar10\.md5 is empty: set it to the md5 of {archive}, {md5}$"
    with pytest.raises(UserError, match=message):
        find_source("cifar10", local)
    url = PARAMS.data("stl10").model_copy(update={"md5": ""})
    message = (
        r"^datasets\.stl10\.md5 is empty: set it to the md5 of https://.*stl10_binary\.tar\.gz$"
    )
    with pytest.raises(UserError, match=message):
        find_source("stl10", url)
    source = find_source("cifar10", local.model_copy(update={"md5": md5}))
    assert source == {"archive": str(archive), "md5": md5}


def test_photographs_are_bundled_and_need_no_archive():
    download("photos", PARAMS)
    assert files.read_json(files.source_path("photos")) == {"md5": PARAMS.data("photos").md5}
    assert not files.ARCHIVES.exists()
    assert start_files("photos") == [*PARAMS.models, *PARAMS.losses]
    for name in start_files("photos"):
        assert weights.load(files.start_path("photos", name)) == ({}, {"weights": "random"})
    for changes, message in (
        ({"md5": "f" * 32}, "not 'ffff"),
        ({"md5": ""}, "have the md5 [0-9a-f]{32}, not ''"),
        (
            {"source": "photos.tar"},
            r"datasets\.photos\.source: should be 'bundled', not 'photos.tar'",
        ),
    ):
        with pytest.raises(UserError, match=message):
            download("photos", changed("photos", **changes))
    with pytest.raises(UserError, match=r"^bundled is not a file"):
        download("cifar10", changed("cifar10", source="bundled"))


def test_source_json_names_a_download_by_its_path_in_the_project(server, tmp_path, monkeypatch):
    """A queued experiment runs in a copy of the project and uses the project's downloads."""
    archive, images, _ = archives.cifar10(tmp_path / "c.tar.gz", 2)
    md5 = archives.describe(archive)["md5"]
    server.contents["/c.tar.gz"] = archive.read_bytes()
    params = changed(
        "cifar10",
        source=f"{server.url}/c.tar.gz",
        md5=md5,
        start="random",
        lpips_weights="random",
    )
    copy = Path(".dvc/tmp/exps/copy")
    copy.mkdir(parents=True)
    for folder, root in ((Path(), Path()), (copy, Path("../../../.."))):
        monkeypatch.chdir(tmp_path / "project" / folder)
        monkeypatch.setattr(files, "ROOT", root)
        monkeypatch.setattr(files, "ARCHIVES", root / "data/archives")
        names = {"models": list(PARAMS.models), "losses": list(PARAMS.losses)}
        files.write_json(files.NAMES, names)
        download("cifar10", params)
        source = files.read_json(files.source_path("cifar10"))
        assert source == {"archive": "data/archives/cifar-10-binary.tar.gz", "md5": md5}
        assert np.array_equal(
            cifar10.build(params.data("cifar10"), source).test.images, images[10:]
        )
        assert sorted(path.name for path in files.source_path("cifar10").parent.iterdir()) == [
            "source.json",
            "weights",
        ]
    assert set(server.requests) == {"/c.tar.gz"}
    assert not (tmp_path / "project" / copy / "data/archives").exists()


def test_imagenet_weights_are_downloaded_and_checked_once(server, tmp_path):
    """The files have torchvision's form. DenseNet's file has the old names of the layers."""
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
        content = (tmp_path / f"{name}.pth").read_bytes()
        server.contents[f"/{name}.pth"] = content
        imagenet[name] = ImageNetConfig(
            source=f"{server.url}/{name}.pth", sha256=hashlib.sha256(content).hexdigest()[:8]
        )
    settings = {"start": "imagenet", "lpips_weights": "imagenet"}
    download("photos", changed("photos", **settings).model_copy(update={"imagenet": imagenet}))

    tensors, metadata = weights.load(files.start_path("photos", "resnet18"))
    assert metadata["weights"] == "imagenet"
    assert tensors.keys() == {name for name in resnet if not name.startswith("fc.")}
    assert torch.equal(tensors["conv1.weight"], resnet["conv1.weight"])
    tensors, _ = weights.load(files.start_path("photos", "densenet121"))
    assert tensors.keys() == {
        name.removeprefix("features.") for name in densenet if name.startswith("features.")
    }
    name = "denseblock1.denselayer2.norm2.weight"
    assert torch.equal(tensors[name], densenet[f"features.{name}"])
    assert weights.load(files.start_path("photos", "lpips"))[0].keys() == {"0.weight"}
    assert start_files("photos") == [*PARAMS.models, *PARAMS.losses]
    for name in ("eccv16", "unet", "mse", "l1", "color_classification"):
        assert weights.load(files.start_path("photos", name)) == ({}, {"weights": "random"})

    download("photos96", changed("photos96", **settings).model_copy(update={"imagenet": imagenet}))
    assert weights.load(files.start_path("photos96", "resnet18"))[1]["weights"] == "imagenet"
    assert sorted(server.requests) == ["/densenet121.pth", "/lpips.pth", "/resnet18.pth"]


@pytest.mark.parametrize("choice", ["bundled", "my/own.safetensors"])
def test_a_trained_colorizer_initializes_its_own_model(choice, capsys):
    expected, metadata = weights.load(weights.BUNDLED_PATH)
    if "/" in choice:
        metadata = {"model": "timm_unet", "settings": metadata["settings"], "head": "bins"}
        weights.save(Path(choice), expected, metadata)
    download("photos", changed("photos", start=choice))
    assert start_files("photos") == [*PARAMS.models, *PARAMS.losses]
    tensors, stored = weights.load(files.start_path("photos", "timm_unet"))
    assert stored == {**metadata, "start_of": choice}
    assert tensors.keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in tensors.items())
    for name in set(start_files("photos")) - {"timm_unet"}:
        assert weights.load(files.start_path("photos", name)) == ({}, {"weights": "random"})
    message = r"^photos: timm_unet starts from .*\.safetensors, and other models start at random$"
    assert re.search(message, capsys.readouterr().out, re.MULTILINE)


def test_a_new_start_replaces_the_previous_one():
    model = build_colorizer("resnet18", PARAMS.model("resnet18"))
    metadata = {"model": "resnet18", "settings": PARAMS.model("resnet18"), "head": "ab"}
    weights.save(files.weights_path("resnet", "best"), model.state_dict(), metadata)
    download("photos", changed("photos", start="bundled"))
    download("photos", changed("photos", start="resnet"))
    assert weights.load(files.start_path("photos", "timm_unet")) == ({}, {"weights": "random"})
    start = files.start_path("photos", "resnet18")
    assert initialize(model, "resnet18", PARAMS.model("resnet18"), start) == "resnet"
    before = files.start_path("photos", "resnet18").read_bytes()
    download("photos", changed("photos", start="random"))
    assert files.start_path("photos", "resnet18").read_bytes() != before
    assert weights.load(files.start_path("photos", "resnet18")) == ({}, {"weights": "random"})


def test_a_start_that_does_not_exist_is_named():
    with pytest.raises(UserError) as raised:
        download("photos", changed("photos", start="bundeld"))
    message = str(raised.value)
    assert message.startswith("datasets.photos.start bundeld: no such colorizer: use ")
    assert message.isprintable()


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (
            {"weights": "imagenet"},
            "is not a colorizer with a model of dvc.yaml: use a ",
        ),
        (
            {"model": "gpt"},
            "is not a colorizer with a model of dvc.yaml: use a ",
        ),
        (
            {"model": "unet", "classes": 10},
            "is not a colorizer with a model of dvc.yaml: use a ",
        ),
    ],
)
def test_a_start_that_is_not_a_colorizer_is_named(metadata, message):
    weights.save(Path("w.safetensors"), {"w": torch.ones(1)}, metadata)
    with pytest.raises(UserError, match=rf"^datasets\.photos\.start: w\.safetensors {message}"):
        download("photos", changed("photos", start="w.safetensors"))
    Path("w.safetensors").write_bytes(b"cut")
    with pytest.raises(UserError, match=r"^w\.safetensors is not a complete colorpipe weight file"):
        download("photos", changed("photos", start="w.safetensors"))


def test_a_file_without_imagenet_weights_is_named(tmp_path):
    (tmp_path / "w.pth").write_bytes(b"nothing of the kind")
    with pytest.raises(UserError, match=r"w\.pth: cannot load the weights"):
        load_imagenet_weights(tmp_path / "w.pth")
    np.save(tmp_path / "w.npy", np.zeros(3))
    with pytest.raises(UserError, match=r"w\.npy: cannot load the weights"):
        load_imagenet_weights(tmp_path / "w.npy")
