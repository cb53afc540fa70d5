"""Hyperband: many decouplings for a few iterations, the best of them for more."""
