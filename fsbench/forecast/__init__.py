"""What a run would do and what it would take, known before it is begun."""
