"""Delta Lake: tables, their commits, their files and their upkeep."""
