"""From the feature store to the batches of an epoch."""
