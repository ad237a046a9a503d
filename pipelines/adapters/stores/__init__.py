"""Stores: files and objects, on this machine and in a bucket."""
