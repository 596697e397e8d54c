"""Columns of texts and numbers, in memory while they are small and in temporary files otherwise."""
