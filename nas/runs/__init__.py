"""Trained runs: their weights, and networks that go on from them."""
