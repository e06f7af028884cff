"""The fixtures of small_federation.py, for all tests of the engine."""

from small_federation import federation, task

__all__ = ["federation", "task"]
