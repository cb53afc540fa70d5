"""What there is, by name: its kinds, what each name is and may be told, and a command that uses it."""
