"""Decouplings that papers published."""
