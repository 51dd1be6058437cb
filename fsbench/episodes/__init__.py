"""Episodes: addressed, seeded draws of indices into packs, in NumPy alone."""
