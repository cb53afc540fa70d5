"""The spaces that come along, by name: a YAML file each."""
