"""Packed records as Parquet: a row a cell, to be read with pandas alone.

Columns: what the cell is of, its settings and identities as in `load_results`, the mean of every
metric by its name ("local", "local.ece"; empty where the cell has none), what it cost; and RECORD,
the cell's record as JSON as JSON-lines keep it, from which fplbench reads.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from fplbench.errors import UserError
from fplbench.plugins.measure import DEFAULT, metric
from fplbench.records.packs.fields import packed_fields
from fplbench.records.record import Record
from fplbench.records.settings import Row, settings_of
from fplbench.records.store import OtherSchema, Problem, reason, record_of

SUFFIX = ".parquet"
FORMAT = 1
RECORD, SOURCE = "record", "source"
KEY = b"fplbench packed"
"""Of the file's own metadata, where the format's number stands."""
MAGIC = b"PAR1"
TAIL = 8
"""Bytes at the end of a file: the length of its footer, and MAGIC."""
PLAIN = (
    *("id", "status", "method", "title", "strategy", "dataset", "scenario", "backbone", "seed"),
    *("protocol", "finished", SOURCE, "never_sampled", "trainable_parameters", "peak_bytes"),
)
LARGEST = 2**63


def content(records: Sequence[Record]) -> bytes:
    """The bytes of a file."""
    pa, pq = _pyarrow()
    texts = [_text(packed_fields(record)) for record in records]
    # Of the records as they are read again, so that columns are rounded like them.
    rows = [_row(record_of(json.loads(text))) for text in texts]
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: _column([row.get(name) for row in rows], pa) for name in names}
    columns[SOURCE] = pa.array([_encodable(record.source) for record in records], pa.string())
    columns[RECORD] = pa.array(texts, pa.string())
    table = pa.table(columns).replace_schema_metadata({KEY: str(FORMAT).encode()})
    written = io.BytesIO()
    pq.write_table(table, written, compression="zstd")
    return written.getvalue()


def is_one(file: Path) -> bool:
    """Whether `content` made this file; one that is torn is taken for such by its name.

    Other people's Parquet files lie in folders too, and this needs no pyarrow to leave them alone.
    """
    if not file.name.endswith(SUFFIX):
        return False
    with open(file, "rb") as opened:
        if opened.read(len(MAGIC)) != MAGIC:
            return False
        size = opened.seek(0, io.SEEK_END)
        opened.seek(max(0, size - TAIL))
        tail = opened.read()
        footer = int.from_bytes(tail[:4], "little")
        if size < 2 * TAIL or not tail.endswith(MAGIC) or footer > size - TAIL:
            return True
        opened.seek(size - TAIL - footer)
        return KEY in opened.read(footer)


def read(file: Path) -> list[Record | Problem]:
    """Every cell of a file, or why it cannot be read. UserError where pyarrow is not installed."""
    pa, pq = _pyarrow(file)
    try:
        table = pq.read_table(io.BytesIO(file.read_bytes()))
        written = (table.schema.metadata or {}).get(KEY, b"").decode(errors="replace")
        if written != str(FORMAT):
            return [_problem(file, f"its format is {written or 'missing'}, not {FORMAT}")]
        texts = table.column(RECORD).to_pylist()
        sources = table.column(SOURCE).to_pylist()
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        return [_problem(file, " ".join(str(error).split()))]
    rows = enumerate(zip(texts, sources, strict=True), 1)
    return [_read_row(file, place, text, source) for place, (text, source) in rows]


def _read_row(file: Path, place: int, text: Any, source: Any) -> Record | Problem:
    try:
        record = record_of(json.loads(text))
    except OtherSchema as error:
        return Problem(
            file,
            f"{file}, row {place}, cannot be read by this version of fplbench ({error}): read it "
            "with the version that wrote it, or upgrade; keep it",
        )
    except ValueError as error:
        return _problem(file, f"row {place}: {reason(error)}")
    except (TypeError, RecursionError) as error:
        return _problem(file, f"row {place}: no JSON of a cell: {error}")
    return record.model_copy(update={"source": str(source or "")})


def _problem(file: Path, why: str) -> Problem:
    return Problem(
        file,
        f"{file} is damaged ({why}); take the file from its source again, or pack the records anew",
    )


def _row(record: Record) -> Row:
    """What stands in a row beside the record itself."""
    plain: Row = {
        **{name: getattr(record, name) for name in PLAIN},
        "error": record.error.message if record.error else None,
        "clients": len(record.clients),
        "up_bytes": record.traffic.up_bytes,
        "down_bytes": record.traffic.down_bytes,
        "seconds": record.times.get("total"),
        **settings_of(record),
    }
    means: Row = {
        metric(question, measure): one.mean
        for measure in (DEFAULT, *record.measured)
        for question, one in record.numbers(measure).items()
    }
    return plain | {name: mean for name, mean in means.items() if name not in plain}


def _column(values: Sequence[JsonValue], pa: Any) -> Any:
    """Of the type that all its values have; of JSON's text where they have several."""
    there = [value for value in values if value is not None]
    kinds = {type(value) for value in there}
    small = all(abs(value) < LARGEST for value in there if isinstance(value, int))
    if kinds == {bool}:
        return pa.array(values, pa.bool_())
    if kinds == {int} and small:
        return pa.array(values, pa.int64())
    if kinds and kinds <= {int, float} and small:
        return pa.array([None if v is None else float(str(v)) for v in values], pa.float64())
    texts = [v if v is None else _encodable(v) if isinstance(v, str) else _text(v) for v in values]
    return pa.array(texts, pa.string())


def _text(value: object) -> str:
    return _encodable(json.dumps(value, ensure_ascii=False, allow_nan=False))


def _encodable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _pyarrow(file: Path | None = None) -> tuple[Any, Any]:
    """pyarrow and its Parquet. file: what was to be read."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        what = f"{file} is Parquet, which" if file else "Parquet"
        raise UserError(
            f"{what} needs pyarrow, which is not installed here: pip install 'fplbench[parquet]', "
            "or pack the records as *.jsonl.gz."
        ) from error
    return pyarrow, pyarrow.parquet
