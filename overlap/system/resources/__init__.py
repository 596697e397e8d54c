"""Processors, accelerators, memory and energy that this process may use."""
