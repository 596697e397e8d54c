"""Networks, the feed of features, and the training of members in separate processes."""

from overlap.system.import_path import skip_settings_file

skip_settings_file("matplotlibrc", "matplotlib")  # before Keras imports it
