"""How a decoupled network learns."""
