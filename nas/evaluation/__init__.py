"""Training and scoring what is asked for, and comparing it."""
