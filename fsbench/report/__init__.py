"""From records to tables: one table model, and one writer a format."""
