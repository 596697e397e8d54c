"""Benchmark of quality: held-out KL of training recipes at equal time, over several data sets."""
