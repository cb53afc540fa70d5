"""Charts as data, made once of rows, and drawn by the page and for papers."""
