"""How a member is trained: fused operations, and epochs that run as a whole on the device."""
