"""Keras, imported without the settings of other tools.

Every module takes `keras` from here, because Keras reads variables, keras.json and the settings of
Matplotlib when it is imported. A process of ours starts without them; a notebook has its own.
"""

import os
from typing import Final

from overlap.system.child_process import IN_CHILD
from overlap.system.foreign_settings import foreign_settings_hidden, packages_hidden

UNUSED: Final = ("jax", "matplotlib", "sklearn")
"""Packages that Keras and TensorFlow import where they are installed, for parts that no child uses:
almost half of the time of their own import."""

_unused = {*UNUSED} - {os.environ.get("KERAS_BACKEND")}
with packages_hidden(_unused) if IN_CHILD else foreign_settings_hidden():
    import keras
    from keras import ops

__all__ = ["keras", "ops"]
