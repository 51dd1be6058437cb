"""A run: carries out a suite, from its material to the records."""
