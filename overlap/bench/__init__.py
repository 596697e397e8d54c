"""Benchmarks: ratios of interleaved measurements in one run.

Each command of `overlap bench` has a module; `features` also runs `reading` and `end_to_end`.
"""
