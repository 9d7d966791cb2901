"""Benchmarks and the demo: `python -m bench` lists them."""
