"""The machine and its processes: workers, signals, memory, accelerators, energy, compiled code."""
