"""Pure rules: values in, values out; no file, table, network, clock or unseeded randomness."""
