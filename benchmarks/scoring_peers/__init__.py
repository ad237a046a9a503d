"""Peers: one script per way of predicting rows of the feature store; each is a process."""
