"""Results over seeds: collected from DVC's experiments, averaged, and shown in the documents."""

import argparse
import json
import os
import shlex
import shutil
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import archives
import numpy as np
import pytest
import yaml
from project import ROOT, Project
from scipy import stats

import experiments.differences
from colorpipe.runtime.errors import UserError
from experiments import cifar10, summary, tables

COMMITTED = Path("results/cifar10")


@pytest.fixture
def results(tmp_path, monkeypatch) -> Path:
    """A copy of the committed results."""
    monkeypatch.chdir(ROOT)
    return Path(shutil.copytree(COMMITTED, tmp_path / "results"))


@pytest.mark.parametrize("document", tables.DOCUMENTS)
def test_documents_show_the_files_numbers(document, monkeypatch):
    monkeypatch.chdir(ROOT)
    shown = list(tables.BLOCK.finditer(document.read_text()))
    assert shown
    for found in shown:
        assert found[0] == tables.block(found[1], Path(found[2]))


def test_an_outdated_document_is_refreshed(results):
    readme = results / "README.md"
    original = readme.read_text().replace(f"{COMMITTED} -->", f"{results} -->")
    readme.write_text(original.replace("| resnet |", "| renset |"))
    assert tables.refresh(readme)
    assert readme.read_text() == original
    assert not tables.refresh(readme)


def test_a_page_gets_the_tables_of_what_is_run_later(results):
    (results / "README.md").unlink()
    (results / "pretext").rename(results.parent / "later")
    tables.write_readme(results)
    before = (results / "README.md").read_text()
    assert "| mode | labels |" not in before
    assert "| resnet | mse | 3 |" in before
    (results.parent / "later").rename(results / "pretext")
    tables.write_readme(results)
    after = (results / "README.md").read_text()
    seeds = len(list((results / "pretext/resnet").iterdir()))
    assert f"| finetune | 1% | {seeds} | 0." in after
    assert after.count("| resnet | mse |") == 1


def test_a_page_that_another_clone_wrote_is_refreshed(results):
    (results / "README.md").unlink()
    tables.write_readme(results)
    page = (results / "README.md").read_text()
    outdated = page.replace(str(results), "../elsewhere/results").replace(
        "| resnet |", "| renset |"
    )
    (results / "README.md").write_text(outdated)
    tables.write_readme(results)
    assert (results / "README.md").read_text() == page


def test_an_unknown_table():
    with pytest.raises(UserError, match="there is no table 'sizes': use one of metrics-show, "):
        tables.table("sizes", COMMITTED)


def cells(table: str) -> list[dict[str, str]]:
    """The rows of a table in Markdown."""
    header, _, *rows = (
        [cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()
    )
    return [dict(zip(header, row, strict=True)) for row in rows]


def test_mean_and_spread_over_seeds(results):
    (results / ".partial").mkdir()  # of a run that was killed while it was saved
    (results / ".partial/metrics.json").write_text("{")
    for seed, loss in (("0", 130.0), ("1", 132.0), ("2", 137.0)):
        path = results / "resnet" / seed / "metrics.json"
        content = json.loads(path.read_text())
        content["test"]["loss"] = loss
        path.write_text(json.dumps(content))
    table = summary.colorizers_table(results)
    rows = cells(table)
    by_name = {row["colorizer"]: row for row in rows}
    assert by_name["resnet"]["test loss"] == "133.00 ± 3.61"  # n - 1
    assert by_name["resnet"]["paper's loss"] == "147.256"
    assert by_name["resnet_lpips"]["paper's loss"] == "0.095 (ImageNet VGG)"
    assert [row["colorizer"] for row in rows][-2:] == [
        "resnet_lpips",
        "gray baseline",
    ]  # followed by its baseline


def test_colors_beside_the_papers_metrics(results):
    for folder in (
        *results.glob("*/"),
        results / "resnet/2",
        results / "eccv/1",
        results / "eccv/2",
    ):
        if folder.name not in ("resnet", "eccv"):
            shutil.rmtree(folder)
    older = {"test", "colorfulness", "baseline", "loss", "data", "seed", "original_colorfulness"}
    for path, auc in {"resnet/0": 0.5, "resnet/1": 0.7, "eccv/0": None}.items():
        file = results / path / "metrics.json"
        content = {
            key: value for key, value in json.loads(file.read_text()).items() if key in older
        }
        content["baseline"] = {
            key: value for key, value in content["baseline"].items() if key in older
        }
        if auc:
            content |= {"auc": auc}
            content["baseline"] |= {"auc": 0.25}
        file.write_text(json.dumps(content))
    rows = {row["colorizer"]: row for row in cells(summary.colors_table(results))}
    assert rows["resnet"]["AuC"] == "0.600 ± 0.141"
    assert rows["gray baseline"]["AuC"] == "0.250"
    assert rows["eccv"]["AuC"] == ""  # of earlier code
    assert rows["original"]["colorfulness"] == "30.6"
    assert list(rows) == ["resnet", "eccv", "gray baseline", "original"]


def test_every_temperature_of_every_rebalancing(results):
    for rebalancing in ("1", "0.5"):
        folder = results / "lambda" / rebalancing / "unet_rebalanced"
        shutil.copytree(results / "eccv/0", folder / "0")
        metrics, params = (folder / "0" / name for name in ("metrics.json", "params.yaml"))
        point = {
            "mse": 170.0,
            "colorfulness": 28.0,
            "original_colorfulness": 31.0,
            "auc": 0.9,
            "auc_rebalanced": 0.7,
        }
        points = [{"temperature": temperature, **point} for temperature in (0.38, 10.0, 2.0)]
        metrics.write_text(json.dumps(json.loads(metrics.read_text()) | {"temperatures": points}))
        content = yaml.safe_load(params.read_text()) | {
            "losses": {"classification": {"rebalancing": float(rebalancing)}}
        }
        params.write_text(yaml.safe_dump(content))
    rows = cells(summary.temperatures_table(results / "lambda"))
    assert [(row["lambda"], row["T"]) for row in rows] == [
        (name, T) for name in ("0.5", "1") for T in ("10", "2", "0.38")
    ]
    assert (
        rows[0] | {"ab MSE": "170.0", "colorfulness": "28.0", "originals": "31.0", "seeds": "1"}
        == rows[0]
    )
    with pytest.raises(UserError, match="holds no colorizer with a head over the bins"):
        summary.temperatures_table(results / "eccv")


def test_paired_differences_over_seeds(results):
    for seed, (one, other) in {
        "0": (120.0, 130.0),
        "1": (121.0, 133.0),
        "2": (125.0, 133.0),
    }.items():
        for name, mse in (("unet", one), ("resnet", other)):
            path = results / name / seed / "metrics.json"
            content = json.loads(path.read_text())
            content["test"]["mse"] = mse
            path.write_text(json.dumps(content))
    differences = [-10.0, -12.0, -8.0]
    low, high = stats.t.interval(0.95, 2, np.mean(differences), stats.sem(differences))
    mean, half = experiments.differences.interval(differences)
    assert (mean - half, mean + half) == pytest.approx((low, high))
    rows = {row["difference"]: row for row in cells(tables.table("differences", results))}
    assert rows["unet - resnet"]["ab MSE"] == f"-10.0 ± {half:.1f}"
    assert rows["unet - resnet"]["seeds"] == "3"
    assert "resnet_lpips - resnet" not in rows  # one seed
    shutil.rmtree(results / "resnet")
    assert "resnet" not in tables.table("differences", results)
    shutil.rmtree(results / "pretext")
    assert tables.table("differences", results) == "(no two runs share two seeds)"
    (results / "README.md").unlink()
    tables.write_readme(results)
    assert "<!-- differences" not in (results / "README.md").read_text()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda params: params["train"].update(lr=0.5),
            "run with a different train.lr than the others",
        ),
        (lambda params: params.update(seed=7), "belong to different runs"),
        (lambda params: params.update(dataset="photos"), "belong to different runs"),
    ],
)
def test_runs_that_do_not_belong_together(results, change, message):
    path = results / "resnet/2/params.yaml"
    content = yaml.safe_load(path.read_text())
    change(content)
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(UserError, match=message):
        summary.load(results)


def test_settings_of_another_run_are_refused_before_anything_runs(results):
    committed = yaml.safe_load((results / "eccv/0/params.yaml").read_text())
    same = [
        f"datasets.cifar10.epochs={committed['datasets']['cifar10']['epochs']}",
        "threads=1",
        "dataset=cifar10",
    ]
    same += ["datasets.cifar10.pretrained=false", "datasets.cifar10.lpips_weights=random"]
    same += [
        f"datasets.cifar10.{key}={committed['datasets']['cifar10'][key]}"
        for key in ("md5", "source")
    ]
    cifar10.refuse_other_params(results / "eccv", cifar10.with_settings([*same, "seed=5"]))
    with pytest.raises(UserError, match=r"0 was run with a different train\.lr: use another OUT"):
        cifar10.refuse_other_params(
            results / "eccv", cifar10.with_settings([*same, "train.lr=1e-4"])
        )
    with pytest.raises(UserError, match=r"train\.speed=2: params\.yaml has no key train\.speed"):
        cifar10.with_settings(["train.speed=2"])
    with pytest.raises(UserError, match=r"params\.yaml has no key seed\.x"):
        cifar10.with_settings(["seed.x=2"])
    assert cifar10.pretext_runs(["pretext.inits=[unet,xavier]"]) == [
        "pretext/unet",
        "pretext/xavier",
    ]
    with pytest.raises(
        UserError, match=r"pretext\.inits=unet is no list: use pretext\.inits=\[unet\]"
    ):
        cifar10.pretext_runs(["pretext.inits=unet"])


def test_inits_of_the_pretext_task_are_run_when_they_are_wanted(results):
    """What one is compared with was run with the same params: the lists of inits alone may differ."""
    committed = yaml.safe_load((results / "pretext/xavier/0/params.yaml").read_text())
    cifar10.refuse_other_params(
        results / "pretext", committed | {"pretext": committed["pretext"] | {"inits": ["unet"]}}
    )
    longer = committed | {"pretext": committed["pretext"] | {"inits": ["unet"], "steps": 7}}
    with pytest.raises(
        UserError, match=r"was run with a different pretext\.steps: use another OUT"
    ):
        cifar10.refuse_other_params(results / "pretext", longer)
    path = results / "pretext/resnet/1/params.yaml"
    path.write_text(yaml.safe_dump(longer | {"seed": 1}))
    with pytest.raises(UserError, match=r"was run with a different pretext\.steps than the others"):
        summary.load(results)
    shutil.rmtree(results / "pretext/resnet/1")
    shutil.rmtree(results / "pretext/random")
    row = cells(tables.table("pretext", results))[0]
    assert row["resnet"].endswith(" (seeds: 4)")
    assert "seeds" not in row["xavier"]
    row = cells(tables.table("pretext-differences", results))[0]
    assert "(seeds: 4)" in row["resnet - xavier"]
    assert "random - xavier" not in row


def test_a_run_that_starts_from_another_follows_it():
    names = (
        "pretext/xavier",
        "pretext/unet_gan",
        "pretext/resnet",
        "resnet",
        "unet",
        "unet_gan",
        "eccv",
    )
    runs = [(name, seed) for seed in (0, 1) for name in names]
    lists = cifar10.chains(runs)
    assert lists[:3] == [
        [("resnet", 0), ("pretext/resnet", 0)],
        [("unet", 0), ("unet_gan", 0), ("pretext/unet_gan", 0)],
        [("eccv", 0)],
    ]
    assert [("pretext/xavier", 1)] in lists
    assert sorted(run for chain in lists for run in chain) == sorted(runs)
    parts = [cifar10.part(text) for text in ("1/4", "4/4")]
    assert parts == [(1, 4), (4, 4)]
    for text in ("0/4", "5/4", "half"):
        with pytest.raises(
            argparse.ArgumentTypeError, match="is no part: use 1/4 for the first of four"
        ):
            cifar10.part(text)


def test_lists_run_side_by_side_each_in_its_order_and_an_error_starts_no_more():
    both, done = threading.Barrier(2, timeout=60), []

    def run(name, seed, slot):
        if seed == 0:
            both.wait()  # passes only where two lists run at the same time
        done.append((name, seed, slot))

    cifar10.side_by_side([[("a", 0), ("a", 1)], [("b", 0), ("b", 1)]], 2, run)
    assert {slot for _, _, slot in done} == {0, 1}
    assert [seed for name, seed, _ in done if name == "a"] == [0, 1]
    done.clear()

    def fail(name, seed, slot):
        done.append(name)
        raise UserError(f"{name} failed")

    with pytest.raises(UserError, match="a failed"):
        cifar10.side_by_side([[("a", 0), ("c", 0)], [("d", 0)]], 1, fail)
    assert done == ["a"]


def test_results_are_kept_side_by_side(tmp_path, monkeypatch):
    baseline = {"metrics/baseline/gray.json": {"test": {"loss": 180.0, "mse": 180.0}}}
    baseline["evaluations/baseline/gray.json"] = {"loss": "mse", "original_colorfulness": 30.0}

    def read(path, rev, mode):
        time.sleep(0.01)
        content = baseline.get(path, {"of": rev, "loss": "l1", "baseline_loss": 9.0})
        return json.dumps(content).encode() if path.endswith(".json") else rev.encode()

    monkeypatch.setattr(cifar10.api, "read", read)
    names = ["resnet", "densenet", "eccv", "unet", "unet_gan", "resnet_lpips"]
    with ThreadPoolExecutor(len(names)) as pool:
        for done in [
            pool.submit(cifar10.keep, tmp_path / "out", name, 0, f"of {name}", {}) for name in names
        ]:
            done.result()
    for name in names:
        assert (tmp_path / "out" / name / "0/curves.csv").read_text() == f"of {name}"
        kept = json.loads((tmp_path / "out" / name / "0/metrics.json").read_text())
        assert (kept["of"], kept["original_colorfulness"]) == (f"of {name}", 30.0)
        assert kept["baseline"]["test"] == {
            "loss": 9.0,
            "mse": 180.0,
        }  # its loss is this colorizer's
    assert not list((tmp_path / "out").glob(".*"))


def test_a_command_of_the_page_can_be_typed():
    for settings in (
        ["threads=1", "train.compile=true"],
        ["threads=1", "pretext.inits=[resnet,xavier]"],
    ):
        (value,) = shlex.split(summary.quoted(shlex.join(settings)))
        assert shlex.split(value) == settings


def test_one_that_runs_beside_others_has_a_gpu_and_a_log(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar10.torch.cuda, "device_count", lambda: 2)
    code = "import os; print('Reproducing experiment on', os.environ['CUDA_VISIBLE_DEVICES']); raise SystemExit(3)"
    log = tmp_path / "logs/some.log"
    assert cifar10.run_logged([sys.executable, "-c", code], log, slot=3) == 3
    assert log.read_text() == "Reproducing experiment on 1\n"


def test_a_folder_that_is_no_clone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(
        UserError, match="DVC's experiments need a git clone with a commit: git rev-parse: fatal"
    ):
        cifar10.experiment("resnet", 0, [])


def test_seeds_through_dvc(tmp_path):
    """Real but tiny: a colorizer and the pretext task."""
    project = Project(tmp_path)
    archive, *_ = archives.cifar10(tmp_path / "mine.tar.gz", 8)
    project.run("git", "init", "--quiet")
    project.commit("all")

    out = tmp_path / "tiny results"  # outside the clone

    def make(*arguments: str, code: int = 0) -> str:
        settings = [
            "threads=1",
            "datasets.cifar10.epochs=2",
            "datasets.cifar10.val_size=8",
            "train.batch_size=16",
        ]
        settings += ["datasets.cifar10.pretrained=false", "datasets.cifar10.lpips_weights=random"]
        settings += ["pretext.inits=[resnet]", "pretext.labels=[100]"]
        settings += [
            "recipes.refined.epochs_factor=1.0",
            "models.unet.widths=[8,8]",
            "models.unet.blocks=[1,1]",
        ]
        command = [
            "python",
            "-m",
            "experiments.cifar10",
            str(archive),
            "--out",
            str(out),
            "--set",
            *settings,
        ]
        return project.run(*command, *arguments, code=code)

    asked = ("--runs", "resnet", "pretext", "unet", "--seeds", "3", "--jobs", "2")
    assert "Traceback" not in make(*asked)
    assert project.run("git", "status", "--porcelain") == ""  # the workspace is as it was
    logs = {
        path.name.split("-")[1]: path.read_text()
        for path in (project.root / "runs/logs").glob("cifar10-*.log")
    }
    assert logs.keys() == {"shared", "resnet", "pretext", "unet"}
    for result in ("resnet/3", "unet/3", "pretext/resnet/3"):
        folder = out / result
        kept = {"metrics.json", "curves.csv", "params.yaml", "about.json"} | (
            set() if "pretext" in result else {"grid.png"}
        )
        assert {path.name for path in folder.iterdir()} == kept
        found, params = (
            yaml.safe_load((folder / name).read_text()) for name in ("metrics.json", "params.yaml")
        )
        assert (found["seed"], params["seed"], found["data"], found["n"]) == (3, 3, "cifar10", 8)
        assert params["datasets"]["cifar10"]["epochs"] == 2
        epochs = len((folder / "curves.csv").read_text().splitlines()) - 1
        assert epochs == (2 if "pretext" not in result else 2 * 2)  # two modes that train
        about = json.loads((folder / "about.json").read_text())
        assert about["commit"] == project.run("git", "rev-parse", "--short", "HEAD").strip()

    assert {name: run["labeled"] for name, run in found["runs"].items()} == {
        "resnet-finetune-100": 32,
        "resnet-probe-100": 32,
        "resnet-knn-100": 32,
    }
    shutil.rmtree(out / "pretext")  # as if killed before it was saved
    again = make(*asked)
    assert f"resnet, seed 3: already in {os.path.relpath(out, project.root)}" in again
    assert "Running stage 'pretext" not in again  # from DVC's cache
    assert (out / "pretext/resnet/3/metrics.json").exists()
    readme = (out / "README.md").read_text()
    assert str(tmp_path) not in readme
    assert "| resnet | mse | 1 | 2 (" in readme
    assert "| finetune | 100% | 1 | 0." in readme
    for figure in ("overview", "curves", "colorfulness", "pretext"):
        assert (out / f"{figure}.png").stat().st_size > 10_000

    assert "use 1 or more, not 0" in make("--jobs", "0", code=2)
    archive.write_bytes(archive.read_bytes() + b" ")
    refused = make(code=1)
    assert "was run with a different datasets.cifar10.md5: use another OUT" in refused
    assert "Traceback" not in refused
    archive.write_text("a photograph")
    assert "is no tar archive: use CIFAR-10's binary version" in make(code=1)
    archive.unlink()
    assert "error: there is no archive" in make(code=1)
