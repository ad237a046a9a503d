"""Lineage: what stands behind a prediction, read from the lake's own records."""
