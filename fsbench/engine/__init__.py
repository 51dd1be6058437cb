"""The engine: trains and evaluates one model on a device."""
