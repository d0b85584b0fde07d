"""Servers of our own that stand where a real one would not misbehave as it is told to."""
