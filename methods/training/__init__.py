"""The one training loop, and all that it is set by."""
