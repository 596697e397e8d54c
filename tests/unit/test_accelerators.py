"""Accelerators: shares of memory, and which ones are visible."""

from types import SimpleNamespace

import pytest

from overlap.system.resources.accelerators import SHARE, nvml_handles, shared_by

NVML = SimpleNamespace(
    nvmlDeviceGetCount=lambda: 3,
    nvmlDeviceGetHandleByIndex=lambda index: f"handle {index}",
    nvmlDeviceGetHandleByUUID=lambda name: f"handle {name.decode()}",
)


def test_members_that_share_an_accelerator_share_its_memory() -> None:
    assert shared_by(1) == {}
    assert shared_by(4) == {SHARE: "0.230", "XLA_PYTHON_CLIENT_MEM_FRACTION": "0.230"}


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, ["handle 0", "handle 1", "handle 2"]),
        ("2", ["handle 2"]),
        ("1, GPU-ab", ["handle 1", "handle GPU-ab"]),
        ("", []),
        ("-1", []),
    ],
)
def test_only_visible_accelerators_count(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, expected: list[str]
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert nvml_handles(NVML) == expected
