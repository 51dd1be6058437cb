"""Sources: a module each, which turns the files of a source into arrays."""
