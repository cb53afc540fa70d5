"""A first project: a network, a space, a configuration and a script that run at once."""
