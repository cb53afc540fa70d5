"""How decouplings are searched, scored and recorded."""
