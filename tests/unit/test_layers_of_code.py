"""Imports go one way, website -> flows -> tasks -> overlap, and files stay small."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FORBIDDEN = {
    "overlap": {"prefect", "dask", "distributed", "tasks", "flows", "website"},
    "tasks": {"flows", "website"},
    "flows": {"website"},
    "website": set(),
}
LONGEST = 320


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported(file: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("package", FORBIDDEN)
def test_imports_go_one_way(package: str) -> None:
    files = modules(package)
    assert files
    wrong = {str(f): imported(f) & FORBIDDEN[package] for f in files}
    assert {file: names for file, names in wrong.items() if names} == {}


def test_files_are_short() -> None:
    files = [file for package in FORBIDDEN for file in modules(package)]
    lengths = {str(file): len(file.read_text().splitlines()) for file in files}
    assert {file: n for file, n in lengths.items() if n > LONGEST} == {}


def test_every_module_says_what_it_is() -> None:
    files = [file for package in FORBIDDEN for file in modules(package)]
    assert [f for f in files if not ast.get_docstring(ast.parse(f.read_text()))] == []
