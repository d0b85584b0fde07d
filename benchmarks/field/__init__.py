"""The whole judge against simulated gateways, in virtual time: `python -m benchmarks.field`."""
