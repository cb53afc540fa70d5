"""What is asked of a trained run, a file each: at once after its training, or any time later from its saved weights."""
