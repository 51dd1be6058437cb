"""Statistics of accuracies over episodes, in NumPy and SciPy alone."""
