"""A workspace: the shared object, its status, pending work, plans, costs and verification."""
