"""Sample files that a new use case is drafted from."""
