"""Images: in memory and in files, augmented and in batches."""
