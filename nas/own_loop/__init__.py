"""Any network of the user's, decoupled and trained in his own loop."""
