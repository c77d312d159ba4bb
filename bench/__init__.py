"""Side-by-side timings against peers; results are ratios from one run on one machine."""
