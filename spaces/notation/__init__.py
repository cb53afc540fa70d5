"""How components are written and read, and the error that is meant for people."""
