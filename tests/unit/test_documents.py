"""The documents agree with the code."""

import ast
import re
import subprocess

from project import ROOT


def test_every_test_that_a_fault_names_exists():
    text = (ROOT / "docs/reliability.md").read_text()
    named = re.findall(r"\b(test_\w+):\s+(test_\w+)", text)
    assert len(named) >= 35
    for file, test in named:
        (path,) = ROOT.glob(f"tests/**/{file}.py")
        assert f"def {test}(" in path.read_text(), f"{file}: {test}"


def test_every_link_has_a_target():
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


def test_a_module_imports_only_from_its_layer_and_those_above():
    """The layers are the rows of the table in docs/design.md."""
    table = (ROOT / "docs/design.md").read_text().split("| layer |")[1].split("\n\n")[0]
    layers = [re.findall(r"`([\w/.]+)`", row.split("|")[1]) for row in table.splitlines()[2:]]
    depth = {
        name.removesuffix(".py").strip("/"): number
        for number, names in enumerate(layers)
        for name in names
    }
    for path in sorted((ROOT / "colorpipe").rglob("*.py")):
        own = path.relative_to(ROOT / "colorpipe").with_suffix("").parts[0]
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.ImportFrom):
                continue
            module = (node.module or "").split(".")
            if module[0] != "colorpipe":
                continue
            for name in [module[1]] if len(module) > 1 else [alias.name for alias in node.names]:
                assert depth[name] <= depth[own], f"{path.name} imports {name}"
