"""Figures of image functions and of vector search: `benchmarks/images/run.sh`."""
