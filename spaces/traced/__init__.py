"""Any `nn.Module` as a backbone: its units are found, not listed."""
