"""Rows as text: a table for people, CSV that no spreadsheet executes, JSON (interfaces.md 3). Pure over Arrow batches.

Names and subjects of outsiders are in these rows: CSV cells are made inert against formula injection (OWASP), and the
table never lets a control character reach a terminal.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import pyarrow as pa

TABLE_ROWS = 1_000
"""A table for people shows this many rows and says how many it left out; CSV and JSON give all."""

FORMULA_STARTS = frozenset("=+-@\uff1d\uff0b\uff0d\uff20")
"""What makes a spreadsheet take text for a formula; the full-width forms are folded to the plain ones by some."""

_NEEDS_QUOTES = re.compile(r'[",\r\n]')


class Format(StrEnum):
    TABLE = "table"
    CSV = "csv"
    JSON = "json"


def write_rows(reader: pa.RecordBatchReader, output: Format, write: Callable[[str], object]) -> int:
    """Write all rows of a query in one form; returns their number. Duplicate column names get `_2`, `_3`, …"""
    names = _distinct([field.name for field in reader.schema])
    batches = ([[plain(value) for value in row] for row in _rows(batch)] for batch in reader)
    return {Format.TABLE: _write_table, Format.CSV: _write_csv, Format.JSON: _write_json}[output](names, batches, write)


def plain(value: Any) -> Any:
    """A value as JSON knows it: times ISO 8601 in UTC with `Z`, days ISO, no NaN, containers inside out."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case datetime():
            aware = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
            return aware.isoformat().replace("+00:00", "Z")
        case date():
            return value.isoformat()
        case dict():
            return {str(key): plain(inner) for key, inner in value.items()}
        case list() | tuple():
            return [plain(inner) for inner in value]
        case bytes():
            return value.hex()
        case _:
            return str(value)


def inert(text: str) -> str:
    """The text, with `'` before it where a spreadsheet might run it: it begins with = + - @ or a control character."""
    begins_badly = text[:1] in FORMULA_STARTS or unicodedata.category(text[:1] or "a") in ("Cc", "Cf")
    return f"'{text}" if text and begins_badly else text


def visible(text: str) -> str:
    """The text on one line, its control and direction-changing characters shown as `�`."""
    return "".join("\ufffd" if unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp") else char for char in text)


def _rows(batch: pa.RecordBatch) -> Iterator[tuple[Any, ...]]:
    columns = [column.to_pylist() for column in batch.columns]
    return zip(*columns, strict=True)


def _distinct(names: list[str]) -> list[str]:
    taken: set[str] = set()
    distinct = []
    for name in names:
        candidate, count = name, 1
        while candidate in taken:
            count += 1
            candidate = f"{name}_{count}"
        taken.add(candidate)
        distinct.append(candidate)
    return distinct


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _write_csv(names: list[str], batches: Iterator[list[list[Any]]], write: Callable[[str], object]) -> int:
    count = 0
    write(",".join(map(_cell, names)) + "\n")
    for rows in batches:
        write("".join(",".join(map(_cell, row)) + "\n" for row in rows))
        count += len(rows)
    return count


def _cell(value: Any) -> str:
    """RFC 4180; the standard library's writer does not quote a lone carriage return before Python 3.13."""
    text = inert(value) if isinstance(value, str) else _as_text(value)
    return '"' + text.replace('"', '""') + '"' if _NEEDS_QUOTES.search(text) else text


def _write_json(names: list[str], batches: Iterator[list[list[Any]]], write: Callable[[str], object]) -> int:
    count = 0
    write("[")
    for rows in batches:
        for row in rows:
            write(",\n " if count else "\n ")
            write(msgspec.json.encode(dict(zip(names, row, strict=True))).decode())
            count += 1
    write("\n]\n" if count else "]\n")
    return count


def _write_table(names: list[str], batches: Iterator[list[list[Any]]], write: Callable[[str], object]) -> int:
    shown: list[list[Any]] = []
    count = 0
    for rows in batches:
        shown += rows[: TABLE_ROWS - len(shown)]
        count += len(rows)
    cells = [[visible(_as_text(value)) for value in row] for row in shown]
    widths = [max(map(_width, [name, *(row[at] for row in cells)])) for at, name in enumerate(names)]
    numeric = [
        all(isinstance(row[at], int | float | None) for row in shown) and bool(shown) for at in range(len(names))
    ]
    write(_line([visible(name) for name in names], widths, numeric))
    write("  ".join("-" * width for width in widths) + "\n")
    for row in cells:
        write(_line(row, widths, numeric))
    left_out = f", {len(shown)} shown; --format csv or json gives all" if count > len(shown) else ""
    write(f"({count} row{'' if count == 1 else 's'}{left_out})\n")
    return count


def _line(cells: list[str], widths: list[int], numeric: list[bool]) -> str:
    padded = [
        " " * (width - _width(cell)) + cell if right else cell + " " * (width - _width(cell))
        for cell, width, right in zip(cells, widths, numeric, strict=True)
    ]
    return "  ".join(padded).rstrip() + "\n"


def _width(text: str) -> int:
    """Columns in a terminal: wide East Asian characters take two, combining marks none."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )
