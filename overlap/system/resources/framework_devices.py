"""Whether a training framework can use the accelerator of this machine.

A process of its own answers, `python -m overlap.system.resources.framework_devices NAME`, because
a framework takes an accelerator's memory and keeps it until its process ends.
"""

import os
import sys
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final

from overlap.errors import ChildError
from overlap.system.child_process import Emit, child_main, run_child

OWN_MODULE: Final = "overlap.system.resources.framework_devices"


@cache
def accelerator_fault(framework: str) -> str:
    """Return why a framework does not use the accelerator; empty if it does.

    Imports the framework in another process, which takes seconds; the answer is kept.

    Args:
        framework: `tensorflow`, `jax` or `torch`.
    """
    found: list[Mapping[str, Any]] = []
    try:
        run_child(OWN_MODULE, [framework], found.append)
    except ChildError as error:
        return str(error).strip().splitlines()[-1]
    return "" if found and found[0]["accelerators"] else "it finds none"


def _tensorflow() -> int:
    import tensorflow as tf

    return len(tf.config.list_physical_devices("GPU"))


def _jax() -> int:
    # Otherwise JAX reserves three quarters of the memory, which a training may be using.
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    import jax

    return sum(device.platform != "cpu" for device in jax.devices())


def _torch() -> int:
    import torch

    return int(torch.cuda.device_count())


COUNTS: Final[Mapping[str, Callable[[], int]]] = {
    "tensorflow": _tensorflow,
    "jax": _jax,
    "torch": _torch,
}
"""Functions that return the number of accelerators that a framework computes on."""


def main() -> int:
    """Report the number of accelerators that the named framework uses."""

    def work(emit: Emit) -> None:
        emit({"accelerators": COUNTS[sys.argv[1]]()})

    return child_main(work)


if __name__ == "__main__":
    sys.exit(main())
