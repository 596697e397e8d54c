"""The notebook interface of `import overlap`: features, published ensembles and scores.

The functions start no cluster, server or other process.
"""
