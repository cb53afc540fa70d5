"""Networks that belong to one paper's method."""
