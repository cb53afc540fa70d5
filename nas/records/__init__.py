"""What is written: rows, where they come from, and who holds a run."""
