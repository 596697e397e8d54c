"""Benchmark of prediction over HTTP: `overlap view` beside a server without batches."""
