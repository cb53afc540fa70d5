"""What each command takes and does, from the shell and from Python alike; nothing here parses arguments or prints."""
