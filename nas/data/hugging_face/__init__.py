"""Tables that the library `datasets` reads, from the Hugging Face hub or from files."""
