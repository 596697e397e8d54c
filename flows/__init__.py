"""Prefect flows, the clusters they compute on, and the `overlap` command."""
