"""Reproduction of every champion, nightly: whether it can still be made as it was."""

from pipelines.dag_factory.reproduction import declare_reproduction

declare_reproduction()
