"""Verifications for delivery controllers, over HTTP: one at a time, asked for as often as liked.

asked           what a controller's request means: which gateway, which weights
verifications   run, joined, kept
metrics         what Prometheus is told of them
service         the HTTP of it
"""
