"""Executors: where cells are computed, one file each."""
