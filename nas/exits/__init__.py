"""Adaptive inference: what exits answer, cost and are worth."""
