"""Maintenance of the lake, daily: small files, old versions, leftovers."""

from pipelines.dag_factory.maintenance import declare_maintenance

declare_maintenance()
