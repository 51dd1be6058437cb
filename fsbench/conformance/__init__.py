"""What every method must satisfy, whoever wrote it: checks on tiny synthetic images, in seconds on a CPU."""
