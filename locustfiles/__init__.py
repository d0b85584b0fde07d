"""Locustfiles: what to send."""
