"""The built-in measures of clients' answers, a file each (see fplbench/plugins/measure.py)."""
