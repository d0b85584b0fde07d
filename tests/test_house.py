"""What the house promises: its façade, its documents, its entry points."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

import trafficsplit
from tests.conftest import ROOT
from trafficsplit.cli import trafficsplit as commands

SOURCE = ROOT / "src" / "trafficsplit"
# What takes long to import, and what patches the standard library.
HEAVY = {"gevent", "locust", "matplotlib", "numpy", "pandas", "scipy"}
NO_SECTION = {"docs/design.md", "CONTRIBUTING.md"}  # they say how it is cited, with an n
DESIGN_CITED = r"DESIGN\.md(?:[\s#]+(\d+))?"


def tracked(*folders: str) -> list[Path]:
    """Return the files of the repository, or of some folders of it, that are text."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "grep", "-Ilz", "", "--", *folders],
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / name for name in listed.stdout.split("\0") if name]


# --- the public API ---


def imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield what a module imports from others, with their names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield alias.asname or alias.name, node.module or ""


@pytest.mark.parametrize("package", ["lab"])
def test_all_that_is_exported_is_there_and_nothing_else(package: str) -> None:
    module = importlib.import_module(f"trafficsplit.{package}")
    tree = ast.parse((SOURCE / package / "__init__.py").read_text())
    assert set(module.__all__) == {name for name, _ in imported(tree)}


def typed_imports() -> dict[str, str]:
    """Return what `trafficsplit` has for type checkers, with the modules that it is in."""
    tree = ast.parse((SOURCE / "__init__.py").read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    assert ast.unparse(block.test) == "TYPE_CHECKING"
    return {name: module.removeprefix("trafficsplit.") for name, module in imported(block)}


def test_the_public_api_is_the_same_for_python_and_for_type_checkers() -> None:
    assert typed_imports() == trafficsplit._MODULES
    assert set(trafficsplit.__all__) == {*trafficsplit._MODULES, "__version__"}
    assert trafficsplit.__all__ == sorted(trafficsplit.__all__)


@pytest.mark.parametrize("name", trafficsplit.__all__)
def test_every_public_name_can_be_imported_and_is_explained(name: str) -> None:
    found = getattr(trafficsplit, name)
    assert found is not None
    if name != "__version__":
        assert found.__module__ == f"trafficsplit.{trafficsplit._MODULES[name]}"
        assert found.__doc__
        assert name in (trafficsplit.__doc__ or "")


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = trafficsplit.nothing


# --- what is imported, and when ---


def heavy_after(code: str) -> set[str]:
    """Return what a new process has imported of what takes long, after some code."""
    program = f"import sys\n{code}\nprint('imported', *sorted({HEAVY!r} & set(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    return set(result.stdout.splitlines()[-1].split()[1:])


def after_command(*arguments: str) -> set[str]:
    return heavy_after(
        "from trafficsplit.cli import main\n"
        f"sys.argv = {['trafficsplit', *arguments]!r}\n"
        "try:\n"
        "    main()\n"
        "except SystemExit:\n"
        "    pass"
    )


def test_importing_the_package_waits_for_nothing() -> None:
    assert heavy_after("import trafficsplit") == set()


def test_a_name_brings_what_it_needs() -> None:
    assert heavy_after("from trafficsplit import Split") == set()
    assert "locust" not in heavy_after("from trafficsplit import SequentialTest")


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("--version",),
        ("verfy",),
        *((name, "--help") for name in commands.commands),
        *((name, "--no-such-option") for name in commands.commands),
    ],
    ids=" ".join,
)
def test_help_and_a_mistyped_option_wait_for_nothing(arguments: tuple[str, ...]) -> None:
    assert after_command(*arguments) == set()


@pytest.mark.slow
def test_importing_analysis_brings_no_sockets_or_locust() -> None:
    code = (
        "import trafficsplit.analysis.judge, sys\n"
        "assert not {'locust', 'gevent', 'requests'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


# --- what is installed ---


def test_one_name_is_installed() -> None:
    names = set()
    for file in metadata.files("trafficsplit") or []:
        first = file.parts[0]
        if file.suffix == ".pth":  # an editable installation points at its source
            source = Path(str(file.locate())).read_text().strip()
            names |= {path.name for path in Path(source).iterdir() if path.name != "__pycache__"}
        elif first == "..":
            assert file.parts[-2:] == ("bin", "trafficsplit")
        else:
            names.add(first)
    assert {name for name in names if not name.endswith(".dist-info")} == {"trafficsplit"}
    assert [n for n, of in metadata.packages_distributions().items() if "trafficsplit" in of] == [
        "trafficsplit"
    ]


# --- documents and style ---


def headings(text: str) -> dict[str, str]:
    """Return the sections of a document by their number: `## 1. What it is for`."""
    parts = re.split(r"^## (\d+)\. .*$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def citations() -> Iterator[tuple[str, str]]:
    """Yield every section of the design that is cited, with where; empty where none is named."""
    for path in tracked("src", "tests", "benchmarks", "docs", "analysis", "locustfiles"):
        name = str(path.relative_to(ROOT))
        if name in NO_SECTION or path == Path(__file__):
            continue
        for match in re.finditer(DESIGN_CITED, path.read_text("utf-8")):
            yield name, match[1] or ""


def test_every_section_of_the_design_that_is_cited_exists() -> None:
    sections = headings((ROOT / "docs" / "design.md").read_text("utf-8"))
    assert len(sections) >= 5
    assert list(sections) == [str(number) for number in range(1, len(sections) + 1)]
    found = list(citations())
    assert len(found) > 10
    assert {(name, number) for name, number in found if number not in sections} == set()


def test_a_topic_of_the_design_that_is_cited_is_in_its_section() -> None:
    sections = headings((ROOT / "docs" / "design.md").read_text("utf-8"))
    for path in tracked("src", "tests", "benchmarks"):
        for number, topic in re.findall(r'DESIGN\.md (\d+), "([^"]+)"', path.read_text("utf-8")):
            assert topic.lower() in sections[number].lower(), f"{path}: {topic}"


def test_the_formatter_has_the_last_word() -> None:
    words = tuple(f"# fmt: {what}" for what in ("skip", "off"))
    found = []
    for path in tracked():
        if path.suffix in {".py", ".pyi", ".ipynb"}:
            text = path.read_text("utf-8")
            found += [str(path.relative_to(ROOT)) for word in words if word in text]
    assert found == []


def test_the_readmes_python_runs() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    code = code.replace("variant_of\n", "variant_of, Verdict\n")
    code += "\nassert test.verdict is Verdict.INCONCLUSIVE"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_make_help_lists_every_target_that_the_documents_name() -> None:
    result = subprocess.run(
        ["make", "-C", str(ROOT), "help"], capture_output=True, text=True, check=True
    )
    targets = set(re.findall(r"^  ([a-z-]+) ", result.stdout, re.MULTILINE))
    text = "".join((ROOT / name).read_text() for name in ("README.md", "CONTRIBUTING.md"))
    named = set(re.findall(r"^ *make ([a-z-]+)", text, re.MULTILINE))
    assert named
    assert named <= targets


def test_no_document_or_code_names_a_registry_or_a_private_path() -> None:
    locks = [path for path in tracked() if path.suffix == ".lock"]
    assert len(locks) >= 2
    for path in locks:
        lock = path.read_text()
        assert "://" not in lock, path
        assert "--index-url" not in lock, path
    machine = re.escape(str(ROOT))
    for path in tracked():
        if path.suffix in {".py", ".md", ".toml", ".yml", ".yaml", ".cfg", ".sh"}:
            assert not re.search(machine + r"\b", path.read_text("utf-8")), path
