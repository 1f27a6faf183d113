"""Benchmarks of the training throughput."""
