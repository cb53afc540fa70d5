"""What a training step holds, counted from shapes."""
