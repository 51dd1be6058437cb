"""Files: the one atomic writer, and readers of what nobody vouches for."""
