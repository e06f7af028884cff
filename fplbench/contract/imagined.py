"""A device that every machine has: one that is only imagined, with numbers on it.

Its tensors say that they are on `DEVICE`; their numbers lie on the host. An operation that mixes
them with tensors of the host fails as on a GPU, and so a method's devices are known to be right
where there is no GPU. Unlike torch's fake tensors these have values: a method may look at
them, and gradients flow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

# Autograd runs its backward pass on the caller's thread for this kind; for CUDA's it would want a
# thread of a real device.
DEVICE = torch.device("meta")

MIXES = ("aten::index", "aten::copy_", "aten::_index_put_impl_")
"""The beginnings of operations that take tensors of the host beside a GPU's."""


@contextmanager
def imagined() -> Iterator[torch.device]:
    """Inside, `DEVICE` exists: tensors can be made there, moved there, and back to the host."""
    with _Device(), _Factories():
        yield DEVICE


def on_host(value: Any) -> Any:
    """A tensor's numbers on the host; anything else as it is."""
    return value.numbers if isinstance(value, Away) else value


class Away(Tensor):
    """A tensor on the imagined device. numbers: the same one on the host."""

    numbers: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, numbers: Tensor) -> Away:
        made: Away = Tensor._make_wrapper_subclass(
            cls,
            numbers.shape,
            strides=numbers.stride(),
            storage_offset=numbers.storage_offset(),
            dtype=numbers.dtype,
            device=DEVICE,
        )
        made.numbers = numbers
        return made

    def __repr__(self) -> str:  # type: ignore[override]
        return f"Away({self.numbers})"

    def tolist(self) -> Any:
        """As on any device."""
        return self.numbers.tolist()

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return _compute(func, args, kwargs or {})


class _Device(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _compute(func, args, kwargs or {})


class _Factories(TorchFunctionMode):
    """torch.tensor would leave the numbers out on a device of this kind."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func in (torch.tensor, torch.as_tensor) and _is_away(kwargs.get("device")):
            del kwargs["device"]
            return func(*args, **kwargs).to(DEVICE)
        return func(*args, **kwargs)


def _is_away(device: Any) -> bool:
    return device is not None and torch.device(device) == DEVICE


def _compute(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """One operation, computed on the host; its results are where they would be."""
    name = func._schema.name
    away: dict[int, Away] = {}
    host = False

    def brought(value: Any) -> Any:
        nonlocal host
        if isinstance(value, Away):
            away[id(value.numbers)] = value
            return value.numbers
        # A scalar tensor of the host goes with any device's, as with CUDA's.
        host = host or (isinstance(value, Tensor) and value.dim() > 0)
        return value

    def placed(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        # What works in place returns the tensor that it was given.
        return away[id(value)] if id(value) in away else Away(value)

    args, kwargs = _mapped(brought, args), _mapped(brought, kwargs)
    if away and host and not name.startswith(MIXES):
        raise RuntimeError(
            f"{name} is given a tensor on the host beside one on the device; make it there, "
            f"with device="
        )
    asked = kwargs.get("device")
    there = bool(away) if asked is None else _is_away(asked)
    if asked is not None:
        kwargs["device"] = torch.device("cpu")
    found = func(*args, **kwargs)
    return _mapped(placed, found) if there else found


def _mapped(change: Callable[[Any], Any], value: Any) -> Any:
    """A value with everything in its lists, tuples and dicts changed."""
    if isinstance(value, (list, tuple)):
        return type(value)(_mapped(change, each) for each in value)
    if isinstance(value, dict):
        return {key: _mapped(change, each) for key, each in value.items()}
    return change(value)
