"""Databases: their addresses, and what their types and errors mean to us."""
