"""Every figure that the README quotes, by one command each: `python -m benchmarks.NAME`."""
