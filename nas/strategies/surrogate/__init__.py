"""Bayesian optimisation with a surrogate of what training a decoupling gives."""
