"""Silver: rows on their way in, what was set aside, and whether all are accounted for."""
