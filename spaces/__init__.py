"""What may be searched: backbones, heads, and the spaces made of them."""
