"""Benchmarks: ratios against peers and floor, measured in one run beside each other."""
