"""Prediction over HTTP: the champion in memory, requests in batches, limits and figures."""
