"""Records of published ensembles in trackers of experiments."""
