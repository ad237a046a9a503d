"""Quality peers: what judges a benchmark's rows, each in a process of its own."""
