"""Networks, the feed of features, and the training of members in separate processes."""
