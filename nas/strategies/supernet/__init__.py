"""One network whose weights all decouplings share, and how they rank by what they make of them."""
