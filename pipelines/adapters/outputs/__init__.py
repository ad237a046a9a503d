"""Outputs: a module for each form in which predictions leave the lake, and the record of them."""
