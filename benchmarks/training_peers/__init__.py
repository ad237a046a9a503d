"""Each system trains the same model in a process of its own."""
