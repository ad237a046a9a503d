"""Parsing: bytes of a landed file as records, and records that do not fit set aside."""
