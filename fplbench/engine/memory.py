"""How much memory a computation takes, counted from its tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def peak_bytes(work: Callable[[], object]) -> int:
    """The most bytes that tensors made by `work` take at one time, its result included.

    Counted from what operations return, on any device, and so the same in every run; what an
    operation needs for itself while it runs is not seen, nor what was there before.
    """
    counter = _LiveBytes()
    with counter:
        kept = work()
    del kept
    return counter.peak


class _LiveBytes(TorchDispatchMode):
    """Knows the storages made under it, for as long as anything holds them."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._total = 0
        self._live: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Iterable[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        given = {t.untyped_storage()._cdata for t in tree_leaves((args, kwargs)) if _stored(t)}
        out = func(*args, **(kwargs or {}))
        for t in tree_leaves(out):
            if _stored(t):
                storage = t.untyped_storage()
                if storage._cdata not in given and storage._cdata not in self._live:
                    self._live[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
                    self._total += storage.nbytes()
        if self._total > self.peak:
            # Looking at what is gone takes time, so it is done only where it may matter.
            self._live = {key: it for key, it in self._live.items() if not it[0].expired()}
            self._total = sum(size for _, size in self._live.values())
            self.peak = max(self.peak, self._total)
        return out


def _stored(t: object) -> bool:
    return isinstance(t, Tensor) and t.layout is torch.strided
