"""Which ensemble is champion: comparison, policy, promotion and retention."""
