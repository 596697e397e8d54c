"""Imports point downward only and have no cycles; modules stay short; the drawing is current."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.layer_drawing import DOCUMENT, current

ROOT = Path(__file__).resolve().parents[2]
LAYERS: tuple[tuple[str, ...], ...] = (
    ("overlap.redaction",),
    ("overlap.errors",),
    ("overlap.io",),
    ("overlap.system", "overlap.metrics", "overlap.columns"),
    ("overlap.config",),
    ("overlap.audio",),
    ("overlap.catalog",),
    ("overlap.features", "overlap.synthetic"),
    ("overlap.training",),
    ("overlap.ensemble",),
    ("overlap.prediction",),
    ("overlap.promotion", "overlap.recordings"),
    ("overlap.tuning",),
    ("overlap.workspace", "overlap.export"),
    ("overlap.reporting",),
    ("overlap.view",),
    ("overlap.api", "overlap.bench", "overlap.notification", "overlap.tracking"),
    ("overlap",),
    ("tasks",),
    ("flows",),
    ("overlap.__main__",),
    ("docs.site",),
)
"""The packages from the lowest layer to the highest; a module imports from its own package and from
lower layers. `overlap` is the package's own `__init__`. The entry point `overlap.__main__` makes
sure that `flows` is this project's before it imports it. docs/architecture.md contains a drawing of
this table, which `make reference` generates."""
LEVELS = {package: level for level, layer in enumerate(LAYERS) for package in layer}
ORCHESTRATION = {"prefect", "dask", "distributed"}
"""Packages that `overlap` never imports."""
LONGEST = 320


def module_files() -> dict[str, Path]:
    """Return every module of the project by its name."""
    files = [
        f for top in ("overlap", "tasks", "flows", "docs/site") for f in (ROOT / top).rglob("*.py")
    ]
    return {
        ".".join(f.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): f
        for f in files
    }


MODULES = module_files()


def package_of(module: str) -> str:
    """Return the entry of `LAYERS` that a module belongs to."""
    top, _, rest = module.partition(".")
    if top != "overlap":
        return "docs.site" if top == "docs" else top
    return f"overlap.{rest.partition('.')[0]}" if rest else "overlap"


def imported(file: Path, *, lazily: bool = True) -> Iterator[str]:
    """Yield the modules that a file imports; without `lazily` only those imported at load time."""
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree) if lazily else tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                below = f"{node.module}.{alias.name}"
                yield below if below in MODULES else node.module


@pytest.mark.parametrize(
    ("package", "module"),
    [("keras", "overlap.training.keras_import"), ("zarr", "overlap.io.zarr_import")],
)
def test_one_module_imports_it_without_foreign_settings(package: str, module: str) -> None:
    importers = {
        name
        for name, file in MODULES.items()
        if package in {found.partition(".")[0] for found in imported(file)}
    }
    assert importers == {module}


def test_every_module_belongs_to_a_layer() -> None:
    assert len(MODULES) > 150
    assert {package_of(module) for module in MODULES} == set(LEVELS)


@pytest.mark.parametrize("package", LEVELS)
def test_imports_point_downward(package: str) -> None:
    upward = {
        f"{module} imports {name}"
        for module, file in MODULES.items()
        if package_of(module) == package
        for name in imported(file)
        if name in MODULES
        and package_of(name) != package
        and LEVELS[package_of(name)] >= LEVELS[package]
    }
    # `import overlap` is allowed everywhere: it reads the version.
    assert {fault for fault in upward if not fault.endswith(" imports overlap")} == set()


def test_the_library_imports_no_orchestrator() -> None:
    wrong = {
        module: found
        for module, file in MODULES.items()
        if module.startswith("overlap")
        if (found := {name.partition(".")[0] for name in imported(file)} & ORCHESTRATION)
    }
    assert wrong == {}


def test_modules_do_not_import_each_other_in_a_circle() -> None:
    """A package counts as its `__init__`, which Python loads before the package's modules."""
    graph = {
        module: {name for name in imported(file, lazily=False) if name in MODULES}
        for module, file in MODULES.items()
    }
    finished: set[str] = set()

    def visit(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, " -> ".join([*above[above.index(module) :], module])
        if module not in finished:
            for name in sorted(graph[module]):
                visit(name, (*above, module))
            finished.add(module)

    for module in graph:
        visit(module, ())


def test_packages_and_modules_stay_small() -> None:
    lengths = {module: len(file.read_text().splitlines()) for module, file in MODULES.items()}
    assert {module: n for module, n in lengths.items() if n > LONGEST} == {}
    flat = {file.name for file in (ROOT / "overlap").glob("*.py")}
    assert flat == {"__init__.py", "__main__.py", "errors.py", "redaction.py"}
    folders = {file.parent for file in MODULES.values()}
    sizes = {str(folder): len([*folder.glob("*.py")]) - 1 for folder in folders}
    assert {folder: n for folder, n in sizes.items() if n > 15} == {}


def test_the_drawing_in_the_documentation_is_current() -> None:
    """`make reference` brings it up to date."""
    assert DOCUMENT.read_text("utf-8") == current(LAYERS)


def test_every_module_has_a_docstring() -> None:
    assert [m for m, f in MODULES.items() if not ast.get_docstring(ast.parse(f.read_text()))] == []
