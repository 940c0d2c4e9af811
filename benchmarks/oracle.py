"""Results at scale against the tests' oracle, for a sample of contacts.

    python -m benchmarks.oracle --messages 96000000 --contacts 50 --folder FOLDER

All rows of the lake that name a contact of the sample are handed to the recount of `relationship_pipeline_tests/oracle`
(plain Python, no code shared with the project), and what it says of these contacts is compared with the tables that the
project built from everything. Exit code 1 where they differ.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmarks.context import Context
from benchmarks.tenant import DOMAIN
from benchmarks.year import FULL, Year, ensure_published, open_year
from relationship_pipeline.insights.accounts import packaged_free_mail
from relationship_pipeline_tests.oracle import Export, differences, recount

if TYPE_CHECKING:
    import duckdb

BUSIEST = 3
BUSIEST_BELOW = 5_000
"""The sample holds some of the busiest contacts, but none with more emails than plain Python counts in a moment."""
TABLES = {
    "contact_kpis": ("contact_email", ("contact_name",)),
    "daily_activity": ("record_id", ()),
    "most_contacted": ("record_id", ()),
    "who_knows_whom": ("contact_email", ("last_interaction_at",)),
}
"""The column of each compared table that names the contact, and the columns left out: the recount knows no names, and
for it a meeting of more than 50 people is an interaction of each pair, which for the project makes no tie (K2)."""

_SAMPLE = """
    (select contact_email from read_parquet($kpis) order by hash(contact_email, $seed) limit $random)
    union
    (select contact_email from read_parquet($kpis) where emails_sent + emails_received < $below
        order by emails_sent + emails_received desc, contact_email limit $busiest)
"""
_EMAILS = """
    with named as (
        select distinct message_key
        from read_parquet($files)
        where from_address in (select contact_email from sample)
           or list_has_any(to_addresses, (select list(contact_email) from sample))
           or list_has_any(cc_addresses, (select list(contact_email) from sample))
    )
    select * from read_parquet($files) where message_key in (select message_key from named)
"""
_MEETINGS = """
    with named as (
        select distinct meeting_key
        from read_parquet($files)
        where organizer_address in (select contact_email from sample)
           or list_has_any(list_transform(attendees, lambda a: a.address), (select list(contact_email) from sample))
    )
    select * from read_parquet($files) where meeting_key in (select meeting_key from named)
"""


def compare_sample(year: Year, contacts: int, seed: int) -> dict[str, Any]:
    """Counts of what was compared, and `differences`: a line for each value that differs."""
    import duckdb

    with duckdb.connect(config={"memory_limit": "4GiB"}) as connection:
        connection.execute("set TimeZone = 'UTC'")
        options = {"seed": seed, "random": contacts, "below": BUSIEST_BELOW, "busiest": BUSIEST}
        sample = connection.execute(_SAMPLE, {"kpis": _insight(year, "contact_kpis"), **options}).fetchall()
        names = sorted(name for (name,) in sample)
        connection.execute("create table sample as select unnest($names) as contact_email", {"names": names})
        built = {table: _built(connection, year, table, column) for table, (column, _) in TABLES.items()}
        emails = _rows(connection, _EMAILS, {"files": year.lake_files("email")})
        meetings = _rows(connection, _MEETINGS, {"files": year.lake_files("meetings")})
    as_of = built["contact_kpis"][0]["as_of"]
    recounted = recount(
        _export(year, emails, meetings),
        internal_domains=[DOMAIN],
        as_of=as_of,
        months=sorted(folder.name.removeprefix("month=") for folder in (year.lake / "email").iterdir()),
        free_mail_domains=packaged_free_mail(),
    )
    lines = []
    for table, (column, unknown) in TABLES.items():
        wanted = [row for row in recounted[table] if row[column] in set(names)]
        lines += [f"{table} {line}" for line in differences(table, wanted, built[table], ignore=unknown)]
    return {
        "contacts": len(names),
        "as_of": as_of,
        "copies": len(emails),
        "meeting_copies": len(meetings),
        "rows": {table: len(rows) for table, rows in built.items()},
        "differences": lines,
    }


def _insight(year: Year, table: str) -> list[str]:
    folder = year.lake.parent / "insights" / table
    return [str(folder / file["name"]) for file in json.loads((folder / "manifest.json").read_text())["files"]]


def _built(connection: duckdb.DuckDBPyConnection, year: Year, table: str, column: str) -> list[dict[str, Any]]:
    query = f"select * from read_parquet($files) where {column} in (select contact_email from sample)"
    return _rows(connection, query, {"files": _insight(year, table)})


def _rows(connection: duckdb.DuckDBPyConnection, query: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    return connection.sql(query, params=parameters).to_arrow_table().to_pylist()


def _export(year: Year, emails: Iterable[dict[str, Any]], meetings: Iterable[dict[str, Any]]) -> Export:
    """The rows in the shape of an export folder's, keys in lower case."""
    tenant = year.tenant
    codes = tenant.code_of[: tenant.users].tolist()
    users = zip(tenant.mailboxes.to_pylist(), codes, strict=True)
    return Export(
        rows={
            "user": [
                {"id": mailbox, "mail": tenant.addresses[code].as_py(), "displayname": tenant.names[code].as_py()}
                for mailbox, code in users
            ],
            "message": [_message(row) for row in emails],
            "calendarview": [_event(row) for row in meetings],
        }
    )


def _message(row: dict[str, Any]) -> dict[str, Any]:
    """One copy. Its item is named with the month: where the generator lets an email arrive in two months, each has all
    copies of it, and they are settled where months are joined (B5)."""
    return {
        "id": f"{row['item_key']} {row['received_at']:%Y-%m}",
        "internetmessageid": _text(row["message_key"]),
        "conversationid": _text(row["conversation_key"]),
        "receiveddatetime": _instant(row["received_at"]),
        "sentdatetime": _instant(row["sent_at"]),
        "from": _party(row["from_address"]),
        "sender": _party(row["sender_address"]),
        "torecipients": [_party(address) for address in row["to_addresses"]],
        "ccrecipients": [_party(address) for address in row["cc_addresses"]],
        "internetmessageheaders": [{"name": "Precedence", "value": "bulk"}] if row["is_bulk"] else [],
        "meetingmessagetype": "meetingRequest" if row["is_meeting_message"] else "none",
        "puser": row["mailbox"],
    }


def _event(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": _text(row["item_key"]),
        "icaluid": _text(row["meeting_key"]),
        "organizer": _party(row["organizer_address"]),
        "isorganizer": row["is_organizer"],
        "responsestatus": {"response": row["own_response"]},
        "attendees": [
            {"type": one["type"], "status": {"response": one["response"]}, **_party(one["address"])}
            for one in row["attendees"]
        ],
        "start": {"datetime": _instant(row["start_at"]), "timezone": "UTC"},
        "end": {"datetime": _instant(row["end_at"]), "timezone": "UTC"},
        "isallday": row["is_all_day"],
        "iscancelled": row["is_cancelled"],
        "puser": row["mailbox"],
    }


def _text(key: Any) -> str | None:
    return None if key is None else str(key)


def _instant(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _party(address: str | None) -> dict[str, Any]:
    return {"emailaddress": {"address": address}}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--messages", default=FULL, show_default=True, type=click.IntRange(1_000), help="Emails in the year.")
@click.option("--contacts", default=50, show_default=True, type=click.IntRange(1), help="Size of the sample.")
@click.option("--seed", default=7, show_default=True, help="Of the generated data and of the sample.")
@click.option("--folder", required=True, type=click.Path(path_type=Path, file_okay=False), help="As of P4.")
def main(messages: int, contacts: int, seed: int, folder: Path) -> None:
    """Compare the results for a sample of contacts with a recount in plain Python."""
    folder.mkdir(parents=True, exist_ok=True)
    year = open_year(Context(folder.resolve(), messages, None, seed), messages)
    ensure_published(year)
    found = compare_sample(year, contacts, seed)
    click.echo(json.dumps(found, indent=1, default=str))
    sys.exit(1 if found["differences"] else 0)


if __name__ == "__main__":
    main()
