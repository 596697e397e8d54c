"""Keras, imported without the settings of other tools.

Every module takes `keras` from here, because Keras reads variables, keras.json and the settings of
Matplotlib when it is imported. A process of ours starts without them; a notebook has its own.
"""

from overlap.system.foreign_settings import foreign_settings_hidden

with foreign_settings_hidden():
    import keras
    from keras import ops

__all__ = ["keras", "ops"]
