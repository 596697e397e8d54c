"""Training on the predictions of an ensemble instead of the labels alone."""
