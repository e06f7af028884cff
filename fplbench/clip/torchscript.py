"""The tensors of a TorchScript archive, such as OpenAI's, without running the program in it.

torch.jit.load would compile the archive's code and may run some of it. Here the code is never
opened: the attributes' pickle is read by an unpickler that knows tensors, lists and dictionaries,
makes an empty object of every class of the archive's own, and refuses any other name.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from torch import Tensor

# Storage classes that torch names in a pickle, and their numbers.
DTYPES = {
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "DoubleStorage": torch.float64,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "BoolStorage": torch.bool,
}


class Module:
    """An object of the archive, nothing but its attributes."""


def is_archive(path: Path) -> bool:
    """Whether this is a zip as torch.jit.save writes it."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(PurePosixPath(n).name == "constants.pkl" for n in archive.namelist())
    except Exception:  # of a damaged list of members zipfile raises more than its own error
        return False


def tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of the archive's modules, under the names of their attributes.

    pickle.UnpicklingError: the archive holds something else, or is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            (name,) = [n for n in archive.namelist() if PurePosixPath(n).parts[1:] == ("data.pkl",)]
            root = PurePosixPath(name).parts[0]
            whole = _Reader(archive.read(name), lambda key: archive.read(f"{root}/data/{key}"))
            found: dict[str, Tensor] = {}
            _walk(whole.load(), "", found)
    except pickle.UnpicklingError:
        raise
    except Exception as error:  # a damaged pickle fails in any way
        raise pickle.UnpicklingError(f"damaged: {error or type(error).__name__}") from error
    return found


def _walk(value: object, name: str, found: dict[str, Tensor]) -> None:
    """Modules within modules; a tensor in a list is no parameter."""
    if isinstance(value, Tensor):
        found[name] = value
    elif isinstance(value, Module):
        for key, part in vars(value).items():
            _walk(part, f"{name}.{key}" if name else key, found)


class _Reader(pickle.Unpickler):
    """storage: from a storage's key to its bytes."""

    def __init__(self, content: bytes, storage: Callable[[str], bytes]) -> None:
        super().__init__(io.BytesIO(content))
        self._storage = storage
        self._read: dict[str, Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        if module == "__torch__" or module.startswith("__torch__."):
            return Module
        if module == "torch" and name in DTYPES:
            return DTYPES[name]
        if (module, name) in _ALLOWED:
            return _ALLOWED[module, name]
        raise pickle.UnpicklingError(f"it names {module}.{name}, which is no tensor")

    def persistent_load(self, pid: Any) -> Tensor:
        """A storage, as a tensor of one dimension; several tensors may share one."""
        kind, dtype, key, _, _ = pid
        if kind != "storage" or not isinstance(dtype, torch.dtype):
            raise pickle.UnpicklingError(f"it holds a {kind}, which is no tensor")
        if key not in self._read:
            content = self._storage(str(key))
            empty = torch.empty(0, dtype=dtype)
            self._read[key] = (
                torch.frombuffer(bytearray(content), dtype=dtype) if content else empty
            )
        return self._read[key]


def _tensor(
    storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: object
) -> Tensor:
    return storage.as_strided(tuple(size), tuple(stride), offset).clone()


def _same(value: object, *_: object) -> object:
    return value


_ALLOWED: dict[tuple[str, str], Callable[..., object]] = {
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("collections", "OrderedDict"): OrderedDict,
    ("torch.jit._pickle", "restore_type_tag"): _same,
    ("torch.jit._pickle", "build_intlist"): _same,
    ("torch.jit._pickle", "build_doublelist"): _same,
    ("torch.jit._pickle", "build_boollist"): _same,
    ("torch.jit._pickle", "build_tensorlist"): _same,
}
