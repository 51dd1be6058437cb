"""Results that others published, each with its source."""
