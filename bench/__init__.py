"""Benchmarks: ours beside what people could run instead, interleaved in one run, as medians and ratios."""
