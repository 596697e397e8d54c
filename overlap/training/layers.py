"""Custom layers; like the networks, they use only the API of Keras and run on every backend."""

from typing import Any

from overlap.features import Normalisation
from overlap.training.keras_import import keras


@keras.saving.register_keras_serializable(package="overlap")
class Normalise(keras.layers.Layer):  # type: ignore[misc]  # keras publishes no types
    """Standardises raw decibels: (max(x, floor) - mean) / std.

    The constants are part of the layer's configuration, not weights: a saved network accepts the
    values of the store and needs no further file.

    Args:
        floor_db: Smallest value kept, one per resolution, dB.
        mean_db: Mean after the floor, one per resolution, dB.
        std_db: Standard deviation after the floor, one per resolution, dB.
    """

    def __init__(
        self, floor_db: list[float], mean_db: list[float], std_db: list[float], **kwargs: object
    ) -> None:
        super().__init__(**kwargs)
        self.floor_db, self.mean_db, self.std_db = floor_db, mean_db, std_db

    @classmethod
    def of(cls, constants: Normalisation) -> "Normalise":
        """Return the layer with these constants."""
        parts = [*constants.floor_db], [*constants.mean_db], [*constants.std_db]
        return cls(*parts, dtype="float32")  # 60 dB in bfloat16 has an error of a quarter decibel

    def call(self, decibels: Any) -> Any:  # noqa: ANN401  a tensor of any backend
        """Return (…, resolution) standardised values of (…, resolution) decibels."""
        constants = (
            keras.ops.convert_to_tensor(values, self.compute_dtype)
            for values in (self.floor_db, self.mean_db, self.std_db)
        )
        floor, mean, std = constants
        return (keras.ops.maximum(decibels, floor) - mean) / std

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        own = {"floor_db": self.floor_db, "mean_db": self.mean_db, "std_db": self.std_db}
        return {**super().get_config(), **own}
