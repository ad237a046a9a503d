"""Peers: one script per way of taking a file of flights into a Delta table; each is a process."""
