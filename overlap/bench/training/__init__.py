"""Benchmarks of training: its speed and memory, and what streaming from the disk costs."""
