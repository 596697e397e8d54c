"""A workspace: its state, what a run has to do, what it costs, and verification."""
