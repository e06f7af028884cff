"""A cell's history for TensorBoard, while it runs."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from fplbench.errors import UserError


class Scalars:
    """Written to a folder of the cell's own. UserError where the extra is not installed."""

    def __init__(self, folder: Path) -> None:
        require_tensorboard()
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder))

    def round(self, row: dict[str, float]) -> None:
        """Add a row of the history, a scalar a column."""
        for name, value in row.items():
            if name != "round":
                self._writer.add_scalar(name, value, int(row["round"]))

    def close(self) -> None:
        """Let go of the file."""
        self._writer.close()


def require_tensorboard() -> None:
    """UserError where the extra is not installed."""
    if importlib.util.find_spec("tensorboard") is None:
        raise UserError("--tensorboard needs the extra: pip install 'fplbench[tensorboard]'.")
