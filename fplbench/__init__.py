"""fplbench: federated prompt learning under one engine, one protocol and one budget."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fplbench.records.predictions import load_predictions
    from fplbench.records.results import load_clients, load_history, load_results

__version__ = "0.1.0"
BEGAN = time.perf_counter()  # of this process's own work, nearly; for the time of its start
__all__ = ["__version__", "load_clients", "load_history", "load_predictions", "load_results"]


def __getattr__(name: str) -> Any:
    """The tables for a notebook, imported when asked for: `import fplbench` stays instant."""
    if name in __all__:
        from fplbench.records import predictions, results

        return getattr(predictions if name == "load_predictions" else results, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
