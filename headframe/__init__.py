"""Headframe for notebooks: tables as they were known at a time, and the training that Airflow runs."""

from pipelines.cli.notebook import read, train, training_rows

__all__ = ["read", "train", "training_rows"]
