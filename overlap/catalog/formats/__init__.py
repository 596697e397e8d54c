"""The formats of labelled sound that people have: recognition, and one reader per format."""
