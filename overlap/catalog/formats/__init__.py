"""Formats of labelled sound that people have, one reader per format, and the import of them."""
