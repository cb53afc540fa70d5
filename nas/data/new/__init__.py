"""Inputs that no task holds, for a trained run to answer."""
