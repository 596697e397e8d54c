"""Benchmarks: ratios taken in one run, interleaved. One module per command of `overlap bench`."""
