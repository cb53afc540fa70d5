"""One run's stages over several processes."""
