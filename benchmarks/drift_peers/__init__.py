"""Peers: each module judges drift with one other tool, in that tool's own environment."""
