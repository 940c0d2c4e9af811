"""One month's interactions, derived from the lake: the compact tables from which 12-month numbers are aggregated.

`derive` does one month or a part of one (the edges of a window, N5) and hands each finished table to a writer. What is
derived depends on nothing but its arguments. SQL: models/month/.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relationship_pipeline import schemas
from relationship_pipeline.domain.months import month_end, month_start
from relationship_pipeline.domain.ties import DEFAULT_CONSTANTS
from relationship_pipeline.insights.identification import Identification
from relationship_pipeline.insights.workbench import Workbench

if TYPE_CHECKING:
    import duckdb

MODELS = "relationship_pipeline.insights.models.month"
TAIL = timedelta(days=8)
"""168 hours of N8, and the one day by which a sender's clock may run ahead of the receipt (N4)."""

Write = Callable[[Workbench, str, str, Mapping[str, Any]], None]
"""Stores a model's rows: (workbench, kind of file, model, the model's parameters)."""


@dataclass(frozen=True)
class MonthFiles:
    """Verified lake files that a month's derivation reads: its own, and those of its neighbours (B5)."""

    month: str
    emails: tuple[Path, ...] = ()
    emails_before: tuple[Path, ...] = ()
    emails_after: tuple[Path, ...] = ()
    meetings: tuple[Path, ...] = ()


@dataclass(frozen=True)
class UsedOfNeighbours:
    """What a month's derivation uses of the months before and after, as digests, and what it settles to the one before
    (B5): emails and copies."""

    before: str
    after: str
    settled_emails: int
    settled_copies: int


NOTHING_USED = UsedOfNeighbours("", "", 0, 0)


def derive(
    engine: duckdb.DuckDBPyConnection,
    files: MonthFiles,
    who: Identification,
    lo: datetime,
    hi: datetime,
    write: Write,
    *,
    emails: bool = True,
) -> UsedOfNeighbours:
    """Store what the emails with `received_at` (N4) and the meetings that start (N10) in [lo, hi) come to, by the kinds
    of stored.STORED. Without `emails` only what comes of meetings alone.

    A `lo` after the month's start leaves out replies across the border to the month before: it is outside the window.
    """
    bench = Workbench(engine, MODELS)
    bound(engine, lo, hi)
    used = NOTHING_USED
    if emails:
        attach_emails(bench, files)
        used = join_neighbours(bench, files.month, lo)
        open_emails(bench)
        bench.table("email_addresses")
    bench.attach("month_meetings", files.meetings, schemas.MEETINGS)
    bench.table("meeting_addresses")
    if emails:
        bench.table("month_addresses")
    else:
        bench.table("meeting_addresses", alias="month_addresses")
    identify(bench, who)
    _derive_meetings(bench, files.month, write)
    if emails:
        _derive_emails(bench, files.month, write)
    return used


def _derive_meetings(bench: Workbench, month: str, write: Write) -> None:
    """Store what meetings come to; leaves tables `met` and `day_weights`."""
    write(bench, "meeting_identities", "meeting_identities", {})
    count_meetings(bench)
    bench.view("meeting_turns")
    bench.table("meeting_day_sums")
    for name in ("meeting_days", "meeting_records", "crm_meetings"):
        write(bench, name, name, {})
    bench.view("meeting_interactions", "interactions_of_pairs")
    bench.table("pair_interactions", full_audience=float(DEFAULT_CONSTANTS.full_audience))
    ages = _ages(month)
    bench.table("day_weights", **ages)
    bench.table("meeting_pair_sums", alias="pair_sums", **ages)
    bench.table("met")
    bench.drop("pair_interactions")
    write(bench, "meeting_pairs", "pairs", {"month_end": month_end(month)})
    bench.drop("pair_sums", "meeting_links", "meeting_people", "meetings", "meeting_day_sums")


def _derive_emails(bench: Workbench, month: str, write: Write) -> None:
    write(bench, "email_identities", "email_identities", {})
    bench.table("owners")
    write(bench, "email_owners", "email_owners", {})
    see_emails(bench)
    count_emails(bench)
    for name in ("email_days", "email_records", "crm_emails"):
        write(bench, name, name, {})
    bench.drop("border_copies", "days")
    write(bench, "last_questions", "last_questions", {})
    bench.table("threads")
    write(bench, "conversations", "conversations", {})
    for name in ("dialogue", "answers", "month_replies"):
        bench.table(name)
    bench.drop("threads")
    for name in ("replies", "border_replies"):
        write(bench, name, name, {})
    bench.drop("dialogue", "answers", "month_replies", "received", "team_sizes")
    bench.view("email_interactions", "interactions_of_pairs")
    bench.table("pair_interactions", full_audience=float(DEFAULT_CONSTANTS.full_audience))
    bench.drop("named", "sent_to_accounts")
    within = {"month_start": month_start(month), "month_end": month_end(month)}
    write(bench, "stray_days", "stray_days", within)
    bench.table("email_pair_sums", alias="pair_sums", **_ages(month))
    bench.drop("pair_interactions")
    write(bench, "shared_days", "shared_days", within)
    write(bench, "email_pairs", "pairs", {"month_end": month_end(month)})


def attach_emails(bench: Workbench, files: MonthFiles) -> None:
    """Views `month_rows`, `before_rows` and `after_rows`: the lake's emails of the month and its neighbours."""
    bench.attach("month_rows", files.emails, schemas.EMAIL)
    bench.attach("before_rows", files.emails_before, schemas.EMAIL)
    bench.attach("after_rows", files.emails_after, schemas.EMAIL)


def join_neighbours(bench: Workbench, month: str, lo: datetime) -> UsedOfNeighbours:
    """Tables `settled_keys`, `settled_copies`, `late_copies` and `border_copies`: where the month's emails and its
    neighbours' meet, from what `attach_emails` names."""
    start = month_start(month)
    for name in ("month_copies", "before_copies", "after_copies"):
        bench.view(name)
    for name in ("settled_keys", "settled_rows", "settled_copies", "late_rows", "late_copies"):
        bench.table(name)
    bench.table("border_rows", month_start=start, tail_start=start - TAIL, with_border=lo == start)
    bench.table("border_copies")
    before, after = bench.row("neighbour_digests")
    settled_emails, settled_copies = bench.row("settled_counts")
    return UsedOfNeighbours(before, after, settled_emails, settled_copies)


def open_emails(bench: Workbench) -> None:
    """View `emails`, each once as B5, N3 and N4 define it, over table `telling_copies`, and view `other_copies`."""
    bench.view("copies")
    bench.view("other_copies")
    for name in ("disputed_keys", "telling_copies"):
        bench.table(name)
    bench.view("emails")


def open_meetings(engine: duckdb.DuckDBPyConnection, paths: Iterable[Path], lo: datetime, hi: datetime) -> Workbench:
    """A workbench with view `month_meetings` (all of the files), to count those that start in [lo, hi), and table
    `month_addresses`."""
    bench = Workbench(engine, MODELS)
    bound(engine, lo, hi)
    bench.attach("month_meetings", paths, schemas.MEETINGS)
    bench.table("meeting_addresses", alias="month_addresses")
    return bench


def identify(bench: Workbench, who: Identification, also: Iterable[str] = ()) -> None:
    """Tables `identities` of `month_addresses` and of further addresses, `persons`, `parties`, `accounts`, `members` and
    view `labels`."""
    more = [[address] for address in sorted(also)]
    if more:
        bench.engine.executemany("insert into month_addresses values (?)", more)
        bench.engine.execute("create or replace table month_addresses as select distinct address from month_addresses")
    who.identify(bench)
    for name in ("persons", "parties", "accounts", "members"):
        bench.table(name)
    bench.view("labels")


def count_meetings(bench: Workbench) -> None:
    """Tables `meetings`, `meeting_people` and `meeting_links`, and views `meeting_teams` and `held_meetings`."""
    for name in ("meetings", "meeting_people"):
        bench.table(name)
    for name in ("meeting_teams", "held_meetings"):
        bench.view(name)
    bench.table("meeting_links")


def see_emails(bench: Workbench) -> None:
    """View `visible_emails`, over `telling_copies` and tables `hidden_here` and `absent_here`."""
    bench.table("hidden_here")
    bench.table("absent_here")
    bench.view("visible_emails")


def count_emails(bench: Workbench) -> None:
    """Tables `named`, `received`, `watched_keys`, `team_sizes`, `sent_to_accounts`, `days` and view `turns`, in place of
    `telling_copies`."""
    bench.table("named")
    bench.table("repeated_names")
    bench.engine.execute("delete from named where rowid in (select row_number from repeated_names)").fetchall()
    bench.table("received")
    bench.table("watched_keys")
    bench.drop("telling_copies")
    for name in ("team_sizes", "sent_to_accounts"):
        bench.table(name)
    bench.view("turns")
    bench.table("days")


def _ages(month: str) -> dict[str, Any]:
    """Between which instants, and by which half-lives, ties of the month are aged."""
    short, medium, long = DEFAULT_CONSTANTS.half_lives_days
    return {
        "month_start": month_start(month),
        "month_end": month_end(month),
        "short_days": short,
        "medium_days": medium,
        "long_days": long,
    }


def bound(engine: duckdb.DuckDBPyConnection, lo: datetime, hi: datetime) -> None:
    """Table `bounds`: of what is counted."""
    engine.execute(
        "create table bounds as select $lo::timestamptz as lo, $hi::timestamptz as hi, $largest as largest_audience",
        {"lo": lo, "hi": hi, "largest": DEFAULT_CONSTANTS.largest_audience},
    ).fetchall()
