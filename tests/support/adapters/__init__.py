"""Which method a golden case belongs to, and how its names are ours: by the metadata's `method`.

A case whose method is not here is claimed by nobody, and fails.
"""

from __future__ import annotations

from adapters.base import Adapter, Setting
from adapters.contexts import CONTEXTS

ADAPTERS: dict[str, Adapter] = {**CONTEXTS}

__all__ = ["ADAPTERS", "Adapter", "Setting"]
