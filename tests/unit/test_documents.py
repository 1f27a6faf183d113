"""The documents name what is there."""

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
