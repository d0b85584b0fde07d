"""What several tests use: runs that are made, waiting, processes, gateways, Locust."""
