"""Export of an ensemble as one network in one file, from samples to probabilities."""
