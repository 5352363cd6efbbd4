"""Benchmarks: every figure is measured beside a reference in the same run."""
