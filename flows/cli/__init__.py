"""The `overlap` command."""
