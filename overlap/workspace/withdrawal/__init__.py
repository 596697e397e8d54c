"""Withdraws clips: takes them out of a workspace, and names what learned from them."""
