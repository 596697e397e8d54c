"""One file that holds a whole ensemble: from samples to averaged probabilities."""
