"""The documents name what is there."""

import re

from project import ROOT


def test_every_fault_has_its_test():
    text = (ROOT / "docs/reliability.md").read_text()
    named = re.findall(r"\b(test_\w+): (test_\w+)", text)
    assert len(named) >= 35
    for file, test in named:
        assert f"def {test}(" in (ROOT / f"tests/{file}.py").read_text(), f"{file}: {test}"
