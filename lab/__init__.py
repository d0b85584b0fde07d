"""The system under test on one machine: real Envoy in front of real Color processes."""
