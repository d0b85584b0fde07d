"""Verifications for delivery controllers, over HTTP: one at a time, asked for as often as liked.

requests        what a controller's request means: a verification, by weights of the moment
verifications   run, joined, kept
worker          one verification in a process of its own
metrics         what Prometheus is told of them
service         the HTTP of it
server          the service, listening
"""
