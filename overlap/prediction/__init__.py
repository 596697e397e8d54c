"""Prediction of any number of clips with a published ensemble; only predictions are stored."""

from overlap.system.import_path import skip_settings_file

skip_settings_file("matplotlibrc", "matplotlib")  # before Keras imports it
