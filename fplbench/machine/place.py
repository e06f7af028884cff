"""Where and how a process computes cells: one object, made once from what the user said."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True)
class Place:
    """None of it changes a cell's numbers, but the threads in the last bits. It travels to other
    processes and machines.

    store: where records go; cache: where features are kept; root: the folder of data sets, None
    where it was not given; plugins: folders. skip_broken: leave unusable images out instead of
    refusing the data set. inputs: the image features that all methods of the run read together,
    so that the image tower runs once for them. threads: of torch; None leaves them. checkpoint:
    seconds between two. keep_predictions: beside the record, of every test image.
    """

    store: Path
    cache: Path
    device: str = "auto"
    plugins: tuple[Path, ...] = ()
    root: Path | None = None
    skip_broken: bool = False
    inputs: frozenset[str] = frozenset({"pooled"})
    threads: int | None = None
    checkpoint: float = 30.0
    tensorboard: bool = False
    keep_predictions: bool = False

    def absolute(self) -> Place:
        """The same for processes with another working folder."""
        return replace(
            self,
            store=self.store.resolve(),
            cache=self.cache.resolve(),
            plugins=tuple(path.resolve() for path in self.plugins),
            root=Path(self.root or "data").resolve(),
        )
