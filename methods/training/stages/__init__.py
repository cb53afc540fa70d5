"""One run over several processes, each of which trains some of its stages."""
