"""The cache of machine code: which sources its name covers."""

import ast
from pathlib import Path

import numba
import pytest

import overlap
from overlap.system import jit

PACKAGE = Path(overlap.__file__).parent


def test_the_sources_cover_every_module_that_can_shape_machine_code() -> None:
    """A module that is moved out of `SOURCES` would run stale machine code after a change."""
    covered = set(jit.source_files())
    required = {
        PACKAGE / "system" / "jit.py",
        *(PACKAGE / "audio").rglob("*.py"),
        *(PACKAGE / "features").rglob("*.py"),
        PACKAGE / "synthetic" / "draws.py",
        PACKAGE / "synthetic" / "samples.py",
        PACKAGE / "training" / "engine" / "block_loops.py",
    }
    assert len(required) > 20
    assert covered == required
    names = {str(path.relative_to(PACKAGE)) for path in covered}
    assert names >= {
        "features/kernel/kernel.py", "features/kernel/simd.py", "features/statistics.py",
        "audio/decode.py", "audio/wav_pcm16.py",
    }  # fmt: skip


def test_every_module_that_compiles_is_covered() -> None:
    """Compiled functions may only be defined where the digest of the cache notices a change."""
    compiling = set()
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom):
                names = {f"{node.module}.{alias.name}" for alias in node.names}
            else:
                names = {a.name for a in node.names} if isinstance(node, ast.Import) else set()
            if any(name.startswith(("numba", "overlap.system.jit.compiled")) for name in names):
                compiling.add(file)
    assert len(compiling) >= 4
    assert compiling <= set(jit.source_files())


@pytest.mark.parametrize("name", ["features/kernel/simd.py", "audio/decode.py", "system/jit.py"])
def test_a_change_of_any_source_changes_the_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for source in jit.source_files():
        copy = tmp_path / source.relative_to(PACKAGE)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(source.read_bytes())
    before, packages = jit.code_digest(), folder_of_packages()
    monkeypatch.setattr(jit, "PACKAGE", tmp_path)
    assert jit.code_digest() == before
    with (tmp_path / name).open("ab") as file:
        file.write(b"# changed\n")
    assert jit.code_digest() != before
    assert folder_of_packages() == packages


def folder_of_packages() -> str:
    """Return the folder in which Numba caches the functions of other packages."""
    jit._packages_folder.cache_clear()  # or a change would not be noticed
    with jit.cacheable():
        return str(numba.config.CACHE_DIR)


def test_the_functions_of_another_librosa_are_compiled_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = folder_of_packages()
    monkeypatch.setattr(jit, "version", lambda _name: "0.0.1")
    try:
        assert folder_of_packages() != before
    finally:
        jit._packages_folder.cache_clear()
