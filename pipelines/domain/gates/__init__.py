"""One module per gate; a gate is anything with ``judge(evidence) -> Verdict``."""
