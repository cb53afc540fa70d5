"""Samples of a user's own data sets and loaders."""
