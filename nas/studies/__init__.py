"""Searches as Optuna's studies."""
