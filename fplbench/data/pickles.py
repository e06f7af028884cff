"""Pickles that data sets come in, read without running what they name.

A pickle can call any function on loading, and these files come from the net. Only what arrays
and texts are made of is let through.
"""

from __future__ import annotations

import importlib
import pickle
from pathlib import Path
from typing import Any

from fplbench.errors import UserError

ALLOWED = {
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy._core.numeric", "_frombuffer"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy", "str_"),
    ("_codecs", "encode"),
}


class _Careful(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        # numpy's modules were renamed in version 2; the files are older.
        module = module.replace("numpy.core.", "numpy._core.")
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return getattr(importlib.import_module(module), name)


def read_pickle(path: Path) -> Any:
    """The object in a pickle of arrays, texts, lists and dictionaries; Python 2's texts are
    read as latin1. UserError: any other pickle, or a damaged one."""
    try:
        with path.open("rb") as file:
            return _Careful(file, encoding="latin1").load()
    # Unpickling damaged bytes can raise nearly anything.
    except Exception as error:
        problem = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(
            f"{path} is not the pickle of a data set ({problem}): download and unpack it again."
        ) from error
