"""Examples: worlds that deliver files to the use cases of the same name, as their sources would."""
