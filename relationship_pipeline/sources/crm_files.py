"""CRM rows from files: `accounts`, `contacts`, `opportunities`, `leads`, `stakeholders`, `opportunity_team`, `phonecalls`,
`appointments`, `emails` and `user_roles`, each `<name>.csv` or `<name>.parquet` with Dataverse's column names or the plain
ones of `_SPELLINGS`.

Forgiving: any file may be missing, columns may come in any order and case, further ones are ignored, blanks are null. A
row that cannot be used is counted by reason and left out. What rows mean is decided in insights/.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import isfinite, nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relationship_pipeline.domain.addresses import X500, normalize_address
from relationship_pipeline.errors import BadInput
from relationship_pipeline.schemas import CRM

if TYPE_CHECKING:
    import pyarrow as pa

Row = Mapping[str, str | None]


SUFFIXES = (".csv", ".parquet")
LARGEST_STATE = 100
"""Dataverse's states are small numbers from 0 on."""
MOST_MINUTES = 366 * 24 * 60
"""Of a phone call: no call of a window is longer."""


class _BadRow(Exception):
    """A row that cannot be used; its text is the reason by which it is counted."""


@dataclass(frozen=True)
class CrmRecords:
    """Arrow tables by the names and schemas of schemas.CRM, the rows left out by (file, reason), and how many CSV and
    Parquet files have no name of FILES."""

    tables: Mapping[str, pa.Table]
    rejected: Mapping[tuple[str, str], int] = field(default_factory=dict)
    unread: int = 0


def read_crm_files(folder: Path) -> CrmRecords:
    """Read a folder; one that does not exist holds nothing. Raises BadInput naming a file that cannot be read."""
    import pyarrow as pa

    tables: dict[str, pa.Table] = {}
    rejected: Counter[tuple[str, str]] = Counter()
    for kind, build in _BUILDERS.items():
        path = _file_of(folder, kind)
        rows: dict[object, dict[str, Any]] = {}
        for number, row in enumerate(_rows(path) if path else ()):
            try:
                built = build(row)
            except _BadRow as reason:
                rejected[kind, str(reason)] += 1
                continue
            key = built.get(_KEYS[kind]) if kind in _KEYS else number
            if key in rows:
                rejected[kind, "repeated_id"] += 1
            else:
                rows[key] = built
        tables[kind] = pa.Table.from_pylist(list(rows.values()), schema=CRM[kind])
    return CrmRecords(tables, dict(rejected), _unread(folder))


def _unread(folder: Path) -> int:
    found = [path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES] if folder.is_dir() else []
    return sum(path.stem.lower() not in FILES for path in found)


def _file_of(folder: Path, kind: str) -> Path | None:
    if not folder.is_dir():
        return None
    names = {path.name.lower(): path for path in sorted(folder.iterdir())}
    found = [names[kind + suffix] for suffix in SUFFIXES if kind + suffix in names]
    if len(found) > 1:
        raise BadInput(f"the CRM folder holds both {kind}.csv and {kind}.parquet: remove one of them")
    return found[0] if found else None


def _rows(path: Path) -> Iterator[Row]:
    try:
        yield from _csv_rows(path) if path.suffix.lower() == ".csv" else _parquet_rows(path)
    except UnicodeDecodeError:
        raise BadInput(f"the CRM file {path.name} is not UTF-8; save it again as CSV UTF-8") from None
    except (OSError, ValueError, csv.Error) as error:
        raise BadInput(f"the CRM file {path.name} cannot be read: {type(error).__name__}") from None


def _csv_rows(path: Path) -> Iterator[Row]:
    text = path.read_bytes().decode("utf-8-sig")
    reader = csv.DictReader(io.StringIO(text, newline=""))
    header = reader.fieldnames or []
    if len(header) == 1 and any(mark in header[0] for mark in ";\t|"):
        raise BadInput(f"the CRM file {path.name} does not separate its columns by commas; save it again as CSV UTF-8")
    for row in reader:
        yield {_name(key): _text(value) for key, value in row.items() if isinstance(key, str)}


def _parquet_rows(path: Path) -> Iterator[Row]:
    import pyarrow.parquet as pq

    for batch in pq.ParquetFile(path).iter_batches():
        for row in batch.to_pylist():
            yield {_name(key): _text(value) for key, value in row.items()}


_SPELLINGS = {
    "from_address": ("from_addressused",),
    "to_addresses": ("to_addressused",),
    "regarding_type": ("regardingobjecttypecode", "_regardingobjectid_value@microsoft.dynamics.crm.lookuplogicalname"),
    "role": ("rolename",),
}
"""Column: what else it may be called. A lookup `_x_value` of the Web API may also be the bare `x` of an export."""


def _value(row: Row, column: str) -> str | None:
    bare = (column[1:-6],) if column.startswith("_") and column.endswith("_value") else ()
    for name in (column, *bare, *_SPELLINGS.get(column, ())):
        value = row.get(name)
        if value is not None:
            return value
    return None


def _name(key: str) -> str:
    return key.strip().lower()


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, list):
        return ";".join(str(item) for item in value)
    return str(value).strip() or None


_RECORD_TYPES = {"1": "account", "2": "contact", "3": "opportunity", "4": "lead"}
"""Dataverse's object type codes of the records that activities are regarding; exports may say them by name."""


def _user(row: Row, column: str) -> str:
    """Who it is, in words that the directory knows where the row has them: a Dataverse systemuserid is none."""
    for name in ("azureactivedirectoryobjectid", "internalemailaddress"):
        value = row.get(name)
        if value is not None:
            return value
    return _needed(row, column)


def _needed(row: Row, column: str) -> str:
    value = _value(row, column)
    if value is None:
        raise _BadRow(f"no_{column}")
    return value


def _addresses(row: Row) -> list[str]:
    return _normalized(_value(row, f"emailaddress{number}") for number in (1, 2, 3))


def _normalized(raw: Any) -> list[str]:
    found = (normalize_address(value) for value in raw if value)
    return list(dict.fromkeys(address for address in found if address and not address.startswith(X500)))


def _number(row: Row, column: str) -> float | None:
    value = _value(row, column)
    if value is None:
        return None
    try:
        number = float(value)
    except ValueError:
        number = nan
    if not isfinite(number):
        raise _BadRow(f"bad_{column}")
    return number


def _state(row: Row) -> int | None:
    value = _number(row, "statecode")
    if value is None:
        return None
    if not 0 <= value <= LARGEST_STATE:
        raise _BadRow("bad_statecode")
    return int(value)


def _instant(row: Row, column: str) -> datetime | None:
    value = _value(row, column)
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise _BadRow(f"bad_{column}") from None


def _regarding(row: Row) -> dict[str, Any]:
    kind = (_value(row, "regarding_type") or "").lower()
    return {
        "regarding_id": _value(row, "_regardingobjectid_value"),
        "regarding_type": _RECORD_TYPES.get(kind, kind) or None,
    }


def _account(row: Row) -> dict[str, Any]:
    return {
        "account_id": _needed(row, "accountid"),
        "name": _value(row, "name"),
        "website": _value(row, "websiteurl"),
        "addresses": _addresses(row),
        "primary_contact_id": _value(row, "_primarycontactid_value"),
    }


def _contact(row: Row) -> dict[str, Any]:
    return {
        "contact_id": _needed(row, "contactid"),
        "name": _value(row, "fullname"),
        "addresses": _addresses(row),
        "parent_id": _value(row, "_parentcustomerid_value"),
        "owner_id": _value(row, "_ownerid_value"),
        "state": _state(row),
    }


def _opportunity(row: Row) -> dict[str, Any]:
    return {
        "opportunity_id": _needed(row, "opportunityid"),
        "name": _value(row, "name"),
        "account_id": _value(row, "_parentaccountid_value"),
        "contact_id": _value(row, "_parentcontactid_value"),
        "customer_id": _value(row, "_customerid_value"),
        "owner_id": _value(row, "_ownerid_value"),
        "state": _state(row),
        "estimated_value": _number(row, "estimatedvalue"),
        "closed_at": _instant(row, "actualclosedate"),
    }


def _lead(row: Row) -> dict[str, Any]:
    return {
        "lead_id": _needed(row, "leadid"),
        "name": _value(row, "fullname"),
        "company_name": _value(row, "companyname"),
        "addresses": _addresses(row),
        "owner_id": _value(row, "_ownerid_value"),
        "state": _state(row),
    }


def _stakeholder(row: Row) -> dict[str, Any]:
    return {
        **_record(row),
        "contact_id": _needed(row, "contactid"),
        "role": _value(row, "role"),
    }


def _record(row: Row) -> dict[str, str]:
    """The opportunity or lead of a stakeholder: by type and id, or by the column that is filled."""
    for kind in ("opportunity", "lead"):
        if (identifier := _value(row, f"_{kind}id_value")) is not None and _value(row, "record_id") is None:
            return {"record_type": kind, "record_id": identifier}
    return {"record_type": _needed(row, "record_type").lower(), "record_id": _needed(row, "record_id")}


def _team_member(row: Row) -> dict[str, Any]:
    return {"opportunity_id": _needed(row, "opportunityid"), "user_id": _user(row, "systemuserid")}


def _phonecall(row: Row) -> dict[str, Any]:
    started_at = _instant(row, "actualstart")
    if started_at is None:
        raise _BadRow("no_actualstart")
    minutes = _number(row, "actualdurationminutes") or 0.0
    if not 0 <= minutes <= MOST_MINUTES:
        raise _BadRow("bad_actualdurationminutes")
    parties = _normalized([_value(row, "from_address")])
    return {
        "activity_id": _needed(row, "activityid"),
        "from_address": parties[0] if parties else None,
        "to_addresses": _normalized((_value(row, "to_addresses") or "").split(";")),
        "is_outgoing": (_value(row, "directioncode") or "").lower() in ("true", "1", "yes"),
        "started_at": started_at,
        "minutes": minutes,
        **_regarding(row),
    }


def _appointment(row: Row) -> dict[str, Any]:
    start_at = _instant(row, "scheduledstart")
    if start_at is None:
        raise _BadRow("no_scheduledstart")
    return {"ical_uid": _needed(row, "globalobjectid"), "start_at": start_at, **_regarding(row)}


def _email(row: Row) -> dict[str, Any]:
    return {"internet_message_id": _needed(row, "messageid"), **_regarding(row)}


def _user_role(row: Row) -> dict[str, Any]:
    return {"user": _user(row, "user"), "role": _needed(row, "role")}


_BUILDERS: dict[str, Callable[[Row], dict[str, Any]]] = {
    "accounts": _account,
    "contacts": _contact,
    "opportunities": _opportunity,
    "leads": _lead,
    "stakeholders": _stakeholder,
    "opportunity_team": _team_member,
    "phonecalls": _phonecall,
    "appointments": _appointment,
    "emails": _email,
    "user_roles": _user_role,
}
FILES = tuple(_BUILDERS)
"""Names of the files, without their suffix."""
_KEYS = {
    "accounts": "account_id",
    "contacts": "contact_id",
    "opportunities": "opportunity_id",
    "leads": "lead_id",
    "phonecalls": "activity_id",
}
