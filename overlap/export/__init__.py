"""Export of an ensemble as one network in one file, from samples to probabilities."""

from overlap.system.import_path import skip_settings_file

skip_settings_file("matplotlibrc", "matplotlib")  # before Keras imports it
