"""The documents name what is there."""

import csv
import re
import subprocess

from project import ROOT


def test_every_fault_has_its_test():
    text = (ROOT / "docs/reliability.md").read_text()
    named = re.findall(r"\b(test_\w+):\s+(test_\w+)", text)
    assert len(named) >= 35
    for file, test in named:
        (path,) = ROOT.glob(f"tests/**/{file}.py")
        assert f"def {test}(" in path.read_text(), f"{file}: {test}"


def test_every_link_leads_somewhere():
    tracked = subprocess.run(
        ["git", "ls-files", "*.md"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    documents = [ROOT / name for name in tracked.stdout.splitlines()]
    assert ROOT / "README.md" in documents
    for document in documents:
        for link in re.findall(r"\]\(([^)#\s]+)", document.read_text()):
            if "://" not in link:
                assert (document.parent / link).exists(), f"{document.name}: {link}"


def test_the_patches_of_the_studies_apply():
    patches = sorted(ROOT.glob("results/*/*.patch"))
    assert patches
    for patch in patches:
        subprocess.run(["git", "apply", "--check", patch], cwd=ROOT, check=True)


def test_the_numbers_next_to_the_papers_are_in_the_study():
    with (ROOT / "results/cifar10/results.csv").open() as file:
        results = {row["colorizer"]: row for row in csv.DictReader(file) if row["seed"] == "0"}
    text = (ROOT / "docs/paper.md").read_text()
    keys = ("test.loss", "test.ssim", "test.psnr", "rgb.ssim", "rgb.psnr")
    for label, name in (("`resnet`", "resnet"), ("gray baseline", "gray baseline")):
        cells = " | ".join(results[name][key] for key in keys)
        assert f"| {label} | {cells} |" in text
    best = results["resnet"]["best_epoch"].removesuffix(".0")
    assert f"the weights of epoch {best}, which has the lowest validation loss" in text
    readme = " ".join((ROOT / "README.md").read_text().split())
    for name in ("resnet", "gray baseline"):
        loss, ssim, psnr = (float(results[name][key]) for key in keys[:3])
        assert f"{loss:.1f} / {ssim:.3f} / {psnr:.2f}" in readme
