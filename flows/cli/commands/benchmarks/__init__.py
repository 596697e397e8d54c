"""The benchmark commands, one module per kind."""
