"""One module per task an operator sees: load with adapters, call domain, save with adapters."""
