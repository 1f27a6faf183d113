"""The documents name what is there."""

import re

from project import ROOT

from experiments import tables


def test_every_fault_has_its_test():
    text = (ROOT / "docs/reliability.md").read_text()
    named = re.findall(r"\b(test_\w+):\s+(test_\w+)", text)
    assert len(named) >= 35
    for file, test in named:
        (path,) = ROOT.glob(f"tests/**/{file}.py")
        assert f"def {test}(" in path.read_text(), f"{file}: {test}"


def test_every_link_leads_somewhere():
    for document in [
        ROOT / "benchmarks/README.md",
        *ROOT.glob("docs/*.md"),
        *(ROOT / path for path in tables.DOCUMENTS),
    ]:
        for link in re.findall(r"\]\(([^)#\s]+)", document.read_text()):
            if "://" not in link:
                assert (document.parent / link).exists(), f"{document.name}: {link}"
