"""B3: a refresh reads only what is new, and finds what arrived late, was moved or imported; deletions once a month."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from relationship_pipeline.simulator.scenario import Realism
from relationship_pipeline.simulator.server import SimulatorServer
from relationship_pipeline.sources.base import ReadScope, Staged
from relationship_pipeline.sources.graph.source import GraphSource
from relationship_pipeline_tests.sources.graph.scripted import QUICK
from relationship_pipeline_tests.sources.graph.test_ground_truth import MONTH, iso, rows, scenario, settings_of

Rows = dict[tuple[str, str], dict[str, Any]]


def at(day: str) -> datetime:
    return datetime.fromisoformat(day).replace(tzinfo=UTC)


class Refreshes:
    """A lake of one month, kept as collection keeps it, over refreshes at given times."""

    def __init__(self, server: SimulatorServer, stage: Path) -> None:
        self.server = server
        self.stage = stage
        self.stage.mkdir(exist_ok=True)
        self.now = at("2026-03-20")
        self.source = GraphSource(settings_of(server), patience=QUICK, now=lambda: self.now)
        self.everyone = [user["id"] for user in server.control("scenario")["users"]]
        self.lake: Rows = {}
        self.committed: str | None = None
        self.messages_fetched = 0

    def refresh(self, day: str) -> Staged:
        self.now = at(day)
        self.server.control("clock", {"now": iso(self.now)})
        self.server.control("requests/clear", {})
        scope = ReadScope(self.everyone, committed=self.committed)
        staged = self.source.stage_emails(MONTH, scope, self.stage, lambda: None, lambda line: None)
        self.messages_fetched = sum(e["rows"] for e in self.server.control("requests") if e["endpoint"] == "messages")
        new = {(row["mailbox"], row["item_id"]): row for row in rows(staged)}
        self.lake = {key: row for key, row in self.lake.items() if key not in new and self.kept(staged, row)} | new
        self.committed = f"content of {day}"
        staged.settle(self.committed)
        return staged

    @staticmethod
    def kept(staged: Staged, row: dict[str, Any]) -> bool:
        """What collection keeps of the rows it held (sources/base.py)."""
        if row["mailbox"] not in staged.read_mailboxes:
            return True
        since = staged.read_since.get(row["mailbox"])
        return since is not None and row["received_at"] < since

    def truth(self) -> dict[tuple[str, str], bool]:
        messages = self.server.control(f"truth?month={MONTH}")["messages"]
        return {(copy["mailbox"], copy["id"]): copy["expected"] for m in messages for copy in m["copies"]}


def collected(row: dict[str, Any]) -> bool:
    return not row["is_draft"] and row["folder_class"] not in ("junk", "deleted", "sync_issues", "conversation_history")


def test_refreshes_keep_up_with_the_mailboxes_and_read_little(tmp_path: Path) -> None:
    with SimulatorServer(scenario(41, [], now="2026-03-20T00:00:00Z"), process=False) as server:
        month = Refreshes(server, tmp_path / "stage")
        first = month.refresh("2026-03-20")
        assert not first.read_since and month.lake.keys() == month.truth().keys()
        whole = month.messages_fetched
        for day in ("2026-03-21", "2026-03-22", "2026-03-24", "2026-03-31"):
            staged = month.refresh(day)
            assert staged.read_since.keys() == staged.read_mailboxes
            true = month.truth()
            assert not true.keys() - month.lake.keys(), "late, imported or new mail is missing"
            assert {key for key, expected in true.items() if expected} == {
                key for key, row in month.lake.items() if key in true and collected(row)
            }
            assert month.messages_fetched < whole * (0.7 if day == "2026-03-31" else 0.35)
        closing = month.refresh("2026-04-02")
        assert not closing.read_since, "the first reading after the month's end is whole"
        assert month.lake.keys() == month.truth().keys(), "deletions are mirrored"
        assert month.refresh("2026-04-03").read_since


def test_rows_that_are_not_what_was_delivered_last_are_read_whole(tmp_path: Path) -> None:
    with SimulatorServer(scenario(42, [], now="2026-03-20T00:00:00Z"), process=False) as server:
        month = Refreshes(server, tmp_path / "stage")
        month.refresh("2026-03-20")
        month.committed = "rewritten when one person was erased"
        assert not month.refresh("2026-03-21").read_since


def test_a_crawl_that_was_committed_but_not_cleared_away_is_not_delivered_again(tmp_path: Path) -> None:
    with SimulatorServer(scenario(43, [], now="2026-03-20T00:00:00Z"), process=False) as server:
        month = Refreshes(server, tmp_path / "stage")
        month.refresh("2026-03-20")
        left = tmp_path / "stage" / f"graph-email-{MONTH}"
        scope = ReadScope(month.everyone)
        month.source.stage_emails(MONTH, scope, month.stage, lambda: None, lambda line: None)
        assert left.exists()
        month.refresh("2026-03-22T07:00:00")
        assert not month.truth().keys() - month.lake.keys()


@contextmanager
def closed_month(folder: Path, seed: int) -> Iterator[ClosedMonth]:
    """A month of a tenant in which nothing is deleted but by a test."""
    realism = replace(Realism.everything(), deleted=0.0)
    with SimulatorServer(scenario(seed, [], now="2026-03-20T00:00:00Z", realism=realism), process=False) as server:
        yield ClosedMonth(server, folder / "stage")


class ClosedMonth(Refreshes):
    """A month that was read while it ran, closed, and read once more after its grace."""

    def __init__(self, server: SimulatorServer, stage: Path) -> None:
        super().__init__(server, stage)
        for day in ("2026-03-20", "2026-04-01T02:00:00", "2026-04-06"):
            self.refresh(day)
        assert self.lake.keys() == self.truth().keys()
        self.owner = next(user for user in server.control("scenario")["users"] if user["kind"] == "member")
        self.size = len(self.lake)

    def deliver(self, day: str, **how: Any) -> tuple[str, str]:
        """Mail of early March comes into one mailbox on a later day."""
        self.server.control("clock", {"now": iso(at(day))})
        mail = {"mailboxes": [self.owner["id"]], "from": "ana@fabrikam.com", "to": [self.owner["upn"]]}
        (item,) = self.server.control("messages/deliver", {**mail, "received": "2026-03-05T09:00:00Z", **how})["ids"]
        return self.owner["id"], item

    def delete(self, copy: tuple[str, str]) -> None:
        self.server.control("messages/delete", {"user": copy[0], "id": copy[1]})


def test_31_mail_imported_into_a_closed_month_is_found_by_its_modification(tmp_path: Path) -> None:
    with closed_month(tmp_path, 44) as month:
        imported = month.deliver("2026-04-10")
        month.refresh("2026-04-13")
        assert imported in month.lake and month.lake.keys() == month.truth().keys()
        month.refresh("2026-04-20")
        assert month.messages_fetched < month.size * 0.1, "nothing new costs next to nothing"


def test_31_mail_that_kept_its_old_times_is_found_by_the_count(tmp_path: Path) -> None:
    with closed_month(tmp_path, 45) as month:
        restored = month.deliver("2026-04-10", keeps_times=True)
        staged = month.refresh("2026-04-13")
        assert restored in month.lake and month.lake.keys() == month.truth().keys()
        walked_whole = staged.read_mailboxes - staged.read_since.keys()
        assert walked_whole == {month.owner["id"]}, "only the mailbox that grew is walked again"
        again = month.refresh("2026-04-20")
        assert again.read_since.keys() == again.read_mailboxes


def test_deletions_in_a_closed_month_are_mirrored_within_four_weeks(tmp_path: Path) -> None:
    with closed_month(tmp_path, 46) as month:
        gone = next(key for key in sorted(month.lake) if key[0] == month.owner["id"])
        month.server.control("clock", {"now": "2026-04-10T00:00:00Z"})
        month.delete(gone)
        soon = month.refresh("2026-04-13")
        assert soon.read_since.keys() == soon.read_mailboxes
        assert gone in month.lake
        month.refresh("2026-05-05")
        assert gone not in month.lake and month.lake.keys() == month.truth().keys()
