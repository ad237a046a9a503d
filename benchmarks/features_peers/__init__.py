"""Each system builds or joins features in a process of its own."""
