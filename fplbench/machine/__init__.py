"""This machine: its hardware, how a process computes on it, and what is kept on it."""
