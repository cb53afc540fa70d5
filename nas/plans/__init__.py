"""What a command would do, and about how long and how much memory it would take, before it does anything."""
