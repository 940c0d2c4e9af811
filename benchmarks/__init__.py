"""Benchmarks P1-P10: `python -m benchmarks ID [--messages N] [--json]`. See benchmarks/RESULTS.md."""
