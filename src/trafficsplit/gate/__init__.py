"""Verifications for delivery controllers over HTTP, one at a time.

requests        the requests of controllers, each of which means a verification
verifications   verifications that wait, run, or have ended
worker          one verification in a process of its own
metrics         the latest results, for Prometheus
service         the HTTP of the gate
server          the service, with its socket and TLS
"""
