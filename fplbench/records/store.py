"""Records of cells on disk: a folder a cell, written aside and renamed when complete.

ROOT/ID/record.json          what was run, on what, and what came out
ROOT/ID/history.csv          a row a round
ROOT/ID/prompts.safetensors  what was trained, where anything was
ROOT/ID/log.txt              a line a round, with the time
ROOT/ID/predictions.npz      answers to each test image, where they were asked for
ROOT/ID/SHA256SUMS           of the files above; `sha256sum -c SHA256SUMS` checks them
ROOT/.partial/ID/            being written, or left behind by a killed run
ROOT/.work/ID/               log and checkpoint of a cell that runs or was interrupted
ROOT/.replaced/ID/           a failed or diverged cell while its successor takes its place
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pandas as pd
from pydantic import ValidationError

from fplbench.errors import UserError
from fplbench.records.litter import is_litter
from fplbench.records.old import completed
from fplbench.records.record import READABLE, Record, Status

if TYPE_CHECKING:  # reading records and making tables needs no torch
    from torch import Tensor

RECORD, HISTORY, PROMPTS, SUMS = "record.json", "history.csv", "prompts.safetensors", "SHA256SUMS"
LOG, PREDICTIONS = "log.txt", "predictions.npz"
FOREIGN = "is whole, but this version of fplbench cannot read it"
WORK = ".work"


class DamagedRecord(UserError):
    """A complete folder that cannot be read: its files are not what was written."""


class ForeignRecord(DamagedRecord):
    """Its files are what was written, by another version of fplbench or by something else: it is
    never deleted and never computed over."""


@dataclass(frozen=True)
class Problem:
    """A cell's folder that cannot be read, and why."""

    path: Path
    message: str


class Store:
    """The records of one folder."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    def find(self, cell_id: str) -> Record | None:
        """The record of a complete folder; None if there is none, DamagedRecord if it is torn."""
        self._finish_replacement(cell_id)
        folder = self._folder(cell_id)
        return read_record(folder) if is_cell(folder) else None

    def status(self, cell_id: str) -> Status | Literal["absent", "damaged", "foreign"]:
        """A cell's state; only "done" needs no work, and "foreign" is to be left alone."""
        try:
            record = self.find(cell_id)
        except ForeignRecord:
            return "foreign"
        except DamagedRecord:
            return "damaged"
        return record.status if record else "absent"

    def stamp(self, cell_id: str) -> int:
        """Changes when the cell's record is replaced; 0 without one."""
        try:
            return (self._folder(cell_id) / RECORD).stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def scan(self) -> tuple[list[Record], list[Problem]]:
        """All records, and the folders that could not be read, by name."""
        found = [(path, read_or_explain(path)) for path in cell_folders(self.root)]
        records = [outcome for _, outcome in found if isinstance(outcome, Record)]
        return records, [outcome for _, outcome in found if isinstance(outcome, Problem)]

    def records(self) -> list[Record]:
        """All records that can be read; `scan` also names those that cannot."""
        return self.scan()[0]

    def own(self) -> list[Record]:
        """Those of this store alone: a folder further down may be another run's."""
        folders = [path for path in cell_folders(self.root) if path.parent == self.root]
        found = map(read_or_explain, folders)
        return [outcome for outcome in found if isinstance(outcome, Record)]

    def history(self, cell_id: str) -> pd.DataFrame:
        """A row a round: round, loss and its terms, metrics where evaluated, bytes, seconds."""
        return read_history(self._folder(cell_id))

    def prompts(self, cell_id: str) -> dict[str, Tensor]:
        """The tensors that a cell ended with; empty for a method that trains nothing."""
        from safetensors.torch import load

        folder = self._folder(cell_id)
        return load(read_checked(folder, PROMPTS)) if (folder / PROMPTS).exists() else {}

    def write(
        self,
        record: Record,
        history: pd.DataFrame,
        tensors: dict[str, Tensor],
        log: str = "",
        predictions: bytes = b"",
    ) -> Path:
        """Put a cell's folder in its place, whole or not at all.

        A failed, diverged or damaged cell of the same id is replaced. A done one stays as it is:
        the same id is the same spec, so its numbers are these. ForeignRecord for one that another
        version wrote.
        """
        try:
            there = self.find(record.id)
        except ForeignRecord:
            raise
        except DamagedRecord:
            there = None
        if there is not None and there.status == "done":
            return self._folder(record.id)
        files = {
            RECORD: record.to_json().encode("utf-8", "backslashreplace"),
            HISTORY: _history_csv(history).encode(),
        }
        if tensors:
            files[PROMPTS] = _tensor_bytes(tensors)
        if log:
            files[LOG] = log.encode("utf-8", "backslashreplace")
        if predictions:
            files[PREDICTIONS] = predictions
        files[SUMS] = "".join(f"{_sha256(data)}  {name}\n" for name, data in files.items()).encode()
        try:
            self._write_aside(record.id, files)
            return self._move_into_place(record.id)
        except OSError as error:
            raise UserError(
                f"cannot write the record of {record.id} to {self.root}: "
                f"{error.strerror or error}; make room or choose another --out and run again, "
                "finished cells are kept"
            ) from error

    def _folder(self, cell_id: str) -> Path:
        if not cell_id or cell_id.startswith(".") or "/" in cell_id or os.sep in cell_id:
            raise ValueError(f"not a cell's id: {cell_id!r}")
        return self.root / cell_id

    def _write_aside(self, cell_id: str, files: dict[str, bytes]) -> None:
        aside = self.root / ".partial" / self._folder(cell_id).name
        if aside.exists():
            shutil.rmtree(aside)
        aside.mkdir(parents=True)
        for name, data in files.items():
            with open(aside / name, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        _sync_folder(aside)

    def _move_into_place(self, cell_id: str) -> Path:
        folder, replaced = self._folder(cell_id), self.root / ".replaced" / cell_id
        if folder.exists():
            # A folder cannot be renamed onto a full one. Killed between the two renames, the new
            # record lies complete in .partial, and _finish_replacement does the second.
            if replaced.exists():
                shutil.rmtree(replaced)
            replaced.parent.mkdir(exist_ok=True)
            os.rename(folder, replaced)
        try:
            os.rename(self.root / ".partial" / cell_id, folder)
        except FileNotFoundError:
            if not folder.exists():  # else another process saw the gap and did this rename
                raise
        _sync_folder(self.root)
        shutil.rmtree(replaced, ignore_errors=True)
        return folder

    def _finish_replacement(self, cell_id: str) -> None:
        folder, replaced = self._folder(cell_id), self.root / ".replaced" / cell_id
        if folder.exists() or not replaced.exists():
            return
        aside = self.root / ".partial" / cell_id
        try:
            os.rename(aside if aside.exists() else replaced, folder)
        except OSError:
            if not folder.exists():  # else the writer was not killed and did this rename
                raise
        shutil.rmtree(replaced, ignore_errors=True)


def is_cell(folder: Path) -> bool:
    """Whether this folder is a cell's, be it whole or torn."""
    return any((folder / name).exists() for name in (RECORD, SUMS))


def cell_folders(root: Path) -> list[Path]:
    """The cells under a folder at any depth, sorted; hidden folders hold unfinished ones, and what
    a NAS keeps of deleted files is no result."""
    found = []
    for parent, children, _ in os.walk(root):
        children[:] = sorted(name for name in children if not is_litter(name))
        if is_cell(Path(parent)):
            found.append(Path(parent))
            children.clear()
    return found


def read_record(folder: Path) -> Record:
    """The record of a cell's folder, or DamagedRecord with the file, what is wrong, what to do."""
    data = read_checked(folder, RECORD)
    try:
        return record_of(json.loads(data))
    except ValueError as error:
        raise foreign(folder, RECORD, reason(error)) from error
    except RecursionError as error:
        raise foreign(folder, RECORD, "no JSON of a record: too deep") from error


def record_of(fields: object) -> Record:
    """A record from its JSON; ValueError if it is none that this version reads."""
    schema = fields.get("schema") if isinstance(fields, dict) else None
    if schema not in READABLE or isinstance(schema, bool):
        newer = isinstance(schema, int) and schema > max(READABLE)
        known = ", ".join(map(str, READABLE))
        raise OtherSchema(
            f"its schema is {_shown(schema)}, this fplbench reads {known}"
            + ("; a newer one reads it" if newer else "")
        )
    return completed(Record.model_validate(fields))


def _shown(value: object) -> str:
    return str(value)[:40].encode("utf-8", "backslashreplace").decode()


def require_folder(root: Path) -> None:
    """UserError where a store is looked for and there is none."""
    if root.is_file():
        raise UserError(f"{root} is a file: name the folder that --out of the run named.")
    if not root.is_dir():
        raise UserError(f"there is no folder {root}: name the one that --out of the run named.")


class OtherSchema(ValueError):
    """A record that another version reads."""


def reason(error: ValueError) -> str:
    """Why `record_of`, or JSON itself, refused a record."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return str(error) if isinstance(error, OtherSchema) else f"no JSON: {error}"


def read_or_explain(folder: Path) -> Record | Problem:
    """`read_record` for those who go on with the other cells."""
    try:
        return read_record(folder)
    except DamagedRecord as error:
        return Problem(folder, str(error))


def read_history(folder: Path) -> pd.DataFrame:
    """history.csv of a cell's folder, a row a round."""
    data = read_checked(folder, HISTORY)
    try:
        return pd.read_csv(io.BytesIO(data))
    except (ValueError, OverflowError) as error:
        raise foreign(folder, HISTORY, f"no table: {' '.join(str(error).split())}") from error


def read_checked(folder: Path, name: str) -> bytes:
    """A file of a cell's folder, if it still is what was written, but for line ends: Git on Windows
    changes them (autocrlf)."""
    try:
        if Path(name).name != name or "\0" in name:
            raise FileNotFoundError(errno.ENOENT, f"{SUMS} names no file", name)
        sums = (folder / SUMS).read_text(encoding="utf-8", errors="replace")
        data = (folder / name).read_bytes()
    except OSError as error:
        missing = Path(str(error.filename)).name
        raise _damaged(folder, missing, error.strerror or str(error)) from error
    unix = data.replace(b"\r\n", b"\n")
    for content in (data, unix, unix.replace(b"\n", b"\r\n")):
        if f"{_sha256(content)}  {name}" in sums.splitlines():
            return content
    raise _damaged(folder, name, f"it is not what {SUMS} says was written")


def _damaged(folder: Path, name: str, reason: str) -> DamagedRecord:
    return DamagedRecord(
        f"{folder / name} is damaged ({reason}); delete the folder {folder} and run the cell again"
    )


def foreign(folder: Path, name: str, reason: str) -> ForeignRecord:
    """The error of a file that is as it was written, and that this version cannot read."""
    return ForeignRecord(
        f"{folder / name} {FOREIGN} ({reason}): read "
        "it with the version that wrote it, or upgrade; keep it"
    )


def _history_csv(history: pd.DataFrame) -> str:
    columns = history.columns if len(history.columns) else ["round"]
    return history.reindex(columns=columns).to_csv(index=False, lineterminator="\n")


def _tensor_bytes(tensors: dict[str, Tensor]) -> bytes:
    import torch
    from safetensors.torch import save

    # Copies, since safetensors refuses views that share memory (an expanded server tensor).
    return save(
        {
            name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
            for name, value in tensors.items()
        }
    )


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _sync_folder(folder: Path) -> None:
    """Make names in a folder durable; not every file system can, and then it needs not."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)
