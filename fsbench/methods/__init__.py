"""Methods: each learns from training tasks or batches, and classifies the queries of a task."""
