"""Benchmarks across engines: what they do and how a number is made. The engines are `tests/engines`."""
