"""Budgets of the training program on a GPU, from its compiled text; no GPU is needed.

`python -m overlap.bench.gpu_budget` (`make gpu-budget`) compiles the program that trains an epoch
for the card of `budget.toml`, counts what it does, and fails where a count exceeds its budget.
"""
