"""Cells of a notebook in a real kernel of Jupyter: a command, and the library."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.process_fixtures import TIMEOUT
from support.processes import OVERLAP
from support.running_service import missing
from support.trials import trial

INLINE = "module://matplotlib_inline.backend_inline"
Cell = Callable[[str], str]


@pytest.fixture
def cell(
    field_environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Cell]:
    """Run a cell in a kernel; return what it prints, and fail if it raises an exception."""
    try:
        from ipykernel.kernelspec import make_ipkernel_cmd
        from jupyter_client.manager import KernelManager
    except ImportError:
        missing("jupyter_client and ipykernel are not installed")
    home = Path(field_environment["HOME"])
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(home / name.lower()))
    manager = KernelManager(connection_file=str(tmp_path / "kernel.json"), transport="tcp")
    manager.kernel_spec.argv = make_ipkernel_cmd()
    environment = field_environment | {"IPYTHONDIR": str(home / "ipython")}
    manager.start_kernel(env=environment, cwd=str(tmp_path))
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=TIMEOUT)

        def run(code: str) -> str:
            printed: list[str] = []

            def collect(message: dict[str, dict[str, str]]) -> None:
                content = message["content"]
                printed.append(content.get("text", "") + "\n".join(content.get("traceback", ())))

            answer = client.execute_interactive(
                code, timeout=TIMEOUT, allow_stdin=False, output_hook=collect
            )
            text = "".join(printed)
            assert answer["content"]["status"] == "ok", text
            return text

        yield run
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()


@trial(
    "W",
    "`!overlap pool` in a cell, in a real kernel",
    source="own",
    before="a run that trains a member failed because of MPLBACKEND",
    now="the run ends with exit code 0 and computes nothing; the cell knows the exit code",
)
def test_a_command_in_a_cell(cell: Cell, again: tuple[object, ...]) -> None:
    assert cell("import os; print(os.environ['MPLBACKEND'])").strip() == INLINE
    words = " ".join(f"'{word}'" for word in map(str, again))
    text = cell(f"!'{OVERLAP}' {words}\nprint('code', _exit_code)")
    assert text.split()[-2:] == ["code", "0"], text
    assert "submission.csv" in text


@trial(
    "W",
    "`overlap.load_ensemble(…).predict(…)` in a cell, in a real kernel with its MPLBACKEND",
    source="own",
    before="correct",
    now="20 rows for 20 clips; the backend of the notebook's own figures stays",
)
def test_the_library_in_a_cell(cell: Cell, finished, data: Path) -> None:
    text = cell(
        "import overlap, os\n"
        f"ensemble = overlap.load_ensemble({str(finished.workspace)!r})\n"
        f"table = ensemble.predict({str(data / 'test')!r})\n"
        "import overlap.training.keras_import\n"
        "import matplotlib\n"
        "print(len(table), os.environ['MPLBACKEND'], matplotlib.get_backend())"
    )
    assert text.split()[-3:] == ["20", INLINE, INLINE], text
