"""Formats: how tables are written to files, one file each."""
