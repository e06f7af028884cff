"""A data set's own code, called so that what breaks in it is a sentence about that data set."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fplbench.dataset import Data, Dataset
from fplbench.errors import UserError
from fplbench.plugins.base import one_line


def missing_of(cls: type[Dataset], root: Path | None) -> str | None:
    """Why a data set is not here, None where it is; one that cannot even be asked is not."""
    try:
        return cls().missing(root)
    except UserError as error:
        return str(error)
    except Exception as error:
        return f"The data set {cls.name} cannot be looked for: {one_line(error)}."


def loaded(cls: type[Dataset], root: Path | None, cache: Path) -> Data:
    """What the data set's `load` returns. UserError where it breaks, or returns no data set."""
    try:
        data = cls().load(root, cache)
    except (UserError, MemoryError):
        raise
    except Exception as error:
        raise UserError(f"The data set {cls.name} cannot be read: {one_line(error)}.") from error
    for fault in faults(data):
        raise UserError(f"The data set {cls.name} breaks its contract: {fault}.")
    return data


def faults(data: object) -> Iterator[str]:
    """What of a data set is not as `Data` says, a sentence's end each."""
    if not isinstance(data, Data):
        yield f"load returns a {type(data).__name__}, not a Data"
        return
    if any(template.count("{}") != 1 for template in data.templates) or not data.templates:
        yield "each of its templates must have one {} for the class name, and there must be one"
    for name, split in (("training", data.train), ("test", data.test)):
        if not len(split.labels):
            yield f"there is no {name} image"
            return
        for what, values, names in (
            ("labels", split.labels, data.classnames),
            ("domains", split.domains, data.domains),
        ):
            if values is not None and not 0 <= int(values.min()) <= int(values.max()) < len(names):
                yield (
                    f"its {name} {what} go from {int(values.min())} to {int(values.max())}, and "
                    f"there are {len(names)} names for them"
                )
