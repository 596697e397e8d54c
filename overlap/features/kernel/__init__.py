"""The SIMD kernel that computes log-mel features."""
