"""What a member trains on."""

import os

import keras


def make_deterministic(seed: int) -> None:
    """Seed every generator; on a CPU ask TensorFlow for deterministic operations as well.

    On an accelerator deterministic operations cost speed, and members are averaged anyway.
    """
    keras.utils.set_random_seed(seed)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if not tf.config.list_physical_devices("GPU"):
            tf.config.experimental.enable_op_determinism()


def device_name() -> str:
    """The device that Keras trains on, for the record."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        devices = tf.config.list_physical_devices("GPU")
        if devices:
            details = tf.config.experimental.get_device_details(devices[0])
            return str(details.get("device_name", devices[0].name))
        return f"CPU ({os.cpu_count()} cores)"
    devices = keras.distribution.list_devices()
    return str(devices[0]) if devices else backend
