"""Which method a golden case belongs to, and how its names are ours: by the metadata's `method`.

A case whose method is not here is claimed by nobody, and fails.
"""

from __future__ import annotations

from adapters.base import Adapter, Setting
from adapters.contexts import CONTEXTS
from adapters.federated import FEDERATED
from adapters.learners import LEARNERS
from adapters.towers import TOWERS

ADAPTERS: dict[str, Adapter] = {**CONTEXTS, **LEARNERS, **FEDERATED, **TOWERS}

__all__ = ["ADAPTERS", "Adapter", "Setting"]
