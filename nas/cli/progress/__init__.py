"""What a person sees while search and evaluate run: bars in a terminal, a plain line now and then in a log."""
