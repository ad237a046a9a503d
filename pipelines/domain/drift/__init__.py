"""One module per drift test; a drift test is anything with ``judge(evidence) -> DriftResult``."""
