"""SEDONA: gradient-based search over decouplings (Pyeon et al., ICLR 2021), in parts."""
