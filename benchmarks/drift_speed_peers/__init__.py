"""One module per system of the drift speed benchmark; each runs in a process of its own."""
