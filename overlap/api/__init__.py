"""What `import overlap` offers in a notebook: features, a published ensemble, predictions, scores.

Nothing here starts a cluster, a server or another process.
"""
