"""One module a kind of source: how its images are read or drawn."""
