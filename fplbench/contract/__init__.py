"""The exam of a method: whether it keeps what fplbench/method.py asks of it, tried and not read."""
