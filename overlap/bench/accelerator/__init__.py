"""Benchmark of training on an accelerator, in parts that run one after another."""
