"""What counts of somebody who joined an opt-out group (O1, N2): everything until then, nothing from then on, and who has
joined is no introducer (K5). Against a slow oracle over the rows of random tenants."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from relationship_pipeline.consent.optouts import OptOuts
from relationship_pipeline.domain.optout import DEFAULT_SCOPES, Kind, Mode, OptOut
from relationship_pipeline.lake.reader import open_table
from relationship_pipeline_tests.erasure.lived_in import NOW, Home, consented
from relationship_pipeline_tests.erasure.test_person import NAMES, OUTSIDE, Rows, build_insights, collect, random_month

AS_OF = datetime(2026, 11, 1, tzinfo=UTC)
BEFORE, AFTER = datetime(2026, 10, 12, tzinfo=UTC), datetime(2026, 10, 14, tzinfo=UTC)
PERSON = {f"{name}@contoso.example": name for name in NAMES} | {"a.smith@contoso.example": "amber"}


def joins(home: Home, *, leaves: datetime | None = None) -> None:
    """Amber was not seen in the group at BEFORE, and was at AFTER; so she counts as a member from BEFORE on."""
    opt_outs = OptOuts(home.layout, home.epoch)
    opt_outs.add(OptOut(Kind.GROUP, "g-mergers", DEFAULT_SCOPES, Mode.FUTURE_ONLY, made_at=NOW))
    opt_outs.record_snapshot({"g-mergers": []}, BEFORE)
    opt_outs.record_snapshot({"g-mergers": ["id-amber"]}, AFTER)
    if leaves is not None:
        opt_outs.record_snapshot({"g-mergers": []}, leaves)


def table(home: Home, name: str) -> list[dict[str, Any]]:
    folder = home.tree.insight(name)
    return [
        row for path in open_table(folder).paths(folder) for row in pq.read_table(path, partitioning=None).to_pylist()
    ]


def counted(rows: Rows, out: tuple[datetime, datetime] | None) -> dict[str, Counter[str]]:
    """N4, N6, N10 written out: by contact what counts, with Amber out of scope in [out[0], out[1])."""

    def ours(address: str, at: datetime) -> str | None:
        name = PERSON.get(address)
        return None if name == "amber" and out is not None and out[0] <= at < out[1] else name

    copies: dict[str, list[dict[str, Any]]] = {}
    for row in rows.emails:
        if row["is_draft"] or row["folder_class"] != "inbox":
            continue
        sent = row["sent_at"]
        key = (
            row["internet_message_id"]
            or f"{row['from_address']} {sent} {sorted({*row['to_addresses'], *row['cc_addresses']})}"
        )
        copies.setdefault(key, []).append(row)
    counts: dict[str, Counter[str]] = {}
    for email in copies.values():
        at = min(copy["received_at"] for copy in email)
        sender = email[0]["from_address"]
        named = {address for copy in email for address in (*copy["to_addresses"], *copy["cc_addresses"])}
        if email[0]["is_meeting_message"]:
            continue
        if sender in OUTSIDE:
            team = {ours(address, at) for address in named}
            team |= {ours(copy["mailbox"].removeprefix("id-") + "@contoso.example", at) for copy in email}
            team.discard(None)
            if team:
                counts.setdefault(sender, Counter())["emails_received"] += 1
                counts[sender]["email_minutes"] += 5 * len(team)
        elif ours(sender, at):
            for contact in named.intersection(OUTSIDE):
                counts.setdefault(contact, Counter())["emails_sent"] += 1
                counts[contact]["email_minutes"] += 10
    for event in {row["ical_uid"]: row for row in rows.meetings if row["sensitivity"] == "normal"}.values():
        people = [event["organizer_address"], *(attendee["address"] for attendee in event["attendees"])]
        team = {ours(address, event["start_at"]) for address in people} - {None}
        for contact in {person for person in people if person in OUTSIDE} if team else ():
            by_us = event["organizer_address"] in PERSON
            counts.setdefault(contact, Counter())["meetings_sent" if by_us else "meetings_received"] += 1
            counts[contact]["email_minutes"] += 2 * 30 * len(team)
    return counts


def of_table(home: Home) -> dict[str, Counter[str]]:
    found = {}
    for row in table(home, "contact_kpis"):
        names = ("emails_sent", "emails_received", "meetings_sent", "meetings_received")
        found[row["contact_email"]] = +Counter(
            {name: row[name] for name in names} | {"email_minutes": round(2 * row["team_minutes"])}
        )
    return found


@pytest.mark.parametrize("seed", [31, 32, 33])
def test_o1_n2_amber_counts_until_she_joins_and_not_after(seed: int, tmp_path: Path) -> None:
    rows = random_month(seed)
    home = consented(tmp_path / "data")
    collect(home, rows, tmp_path)
    build_insights(home, AS_OF)
    assert of_table(home) == counted(rows, None), seed
    assert any(row["colleague_email"].startswith("amber@") for row in table(home, "who_knows_whom"))

    joins(home)
    build_insights(home, AS_OF)
    until_then = counted(rows, (BEFORE, datetime.max.replace(tzinfo=UTC)))
    assert of_table(home) == until_then, seed
    assert until_then != counted(rows, None)
    assert "amber@" not in str(table(home, "who_knows_whom")), "K5: nobody who is opted out introduces"
    assert "amber@" not in str(table(home, "graph_nodes") + table(home, "graph_edges"))


def test_o1_n2_after_she_has_left_the_time_of_membership_stays_uncounted(tmp_path: Path) -> None:
    rows = random_month(34)
    home = consented(tmp_path / "data")
    collect(home, rows, tmp_path)
    leaves = AFTER + timedelta(days=6)
    joins(home, leaves=leaves)
    build_insights(home, AS_OF)
    assert of_table(home) == counted(rows, (BEFORE, leaves))
