"""Exporting: a trained run as files that other programs load, without any part of this project."""
