"""The champion: how a new ensemble is compared with it, promoted, rolled back and removed."""
