"""The device that Keras computes on: set-up, determinism, name and memory."""

import os
from contextlib import suppress
from typing import Any

from overlap.io.formatting import counted
from overlap.system.resources.accelerators import SHARE, accelerator_bytes
from overlap.system.resources.sharing import share_of_processors
from overlap.training.keras_import import keras
from overlap.training.network import set_keras_defaults


def make_deterministic(seed: int) -> None:
    """Seed every generator; on a CPU also make TensorFlow's operations deterministic.

    On an accelerator deterministic operations are slow, and members are averaged anyway.
    """
    keras.utils.set_random_seed(seed)
    if keras.backend.backend() == "tensorflow" and not on_accelerator():
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def prepare_device() -> None:
    """Set up the device and Keras's defaults; call before any network is built.

    Limits the device memory to the share of this process. Where the backend supports a cache of
    compiled programs, enables it: the members of an ensemble are compiled once per machine.
    """
    set_keras_defaults()
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if on_accelerator() and SHARE in os.environ:
            _limit_tensorflow(tf, float(os.environ[SHARE]) * accelerator_bytes())
    elif keras.backend.backend() == "jax":
        import jax

        from overlap.system.jit import cache_folder

        folder = cache_folder()
        if folder is not None:
            jax.config.update("jax_compilation_cache_dir", str(folder.parent / "jax"))
            jax.config.update("jax_persistent_cache_min_compile_time_secs", 1)


def _limit_tensorflow(tf: Any, limit_bytes: float) -> None:  # noqa: ANN401  a module
    device = tf.config.list_physical_devices("GPU")[0]
    limit = tf.config.LogicalDeviceConfiguration(memory_limit=int(limit_bytes / 2**20))
    with suppress(RuntimeError):  # the device is initialised: the limit is already set
        tf.config.set_logical_device_configuration(device, [limit])


def on_accelerator() -> bool:
    """Return whether the backend has an accelerator."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return bool(tf.config.list_physical_devices("GPU"))
    if backend == "jax":
        import jax

        return bool(jax.default_backend() != "cpu")
    import torch

    return bool(torch.cuda.is_available())


def device_name() -> str:
    """Return the name of the device that Keras trains on, for the record."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        devices = tf.config.list_physical_devices("GPU")
        if devices:
            details = tf.config.experimental.get_device_details(devices[0])
            return str(details.get("device_name", devices[0].name))
        return f"CPU ({counted(share_of_processors(), 'core')})"
    devices = keras.distribution.list_devices()
    return str(devices[0]) if devices else backend


def device_peak_mb() -> float | None:
    """Return the peak memory use of the accelerator, MB; None without one."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        if tf.config.list_logical_devices("GPU"):
            return float(tf.config.experimental.get_memory_info("GPU:0")["peak"]) / 1e6
    elif backend == "jax":
        import jax

        stats = jax.local_devices()[0].memory_stats()
        if stats and "peak_bytes_in_use" in stats:
            return float(stats["peak_bytes_in_use"]) / 1e6
    return None
