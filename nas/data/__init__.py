"""What samples and batches are, and how they are read."""
