"""Group opt-out over time through the real collection step, against an oracle that keeps every snapshot (O1)."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from relationship_pipeline.consent.enforcement import read_rules, record_memberships, rules_fence
from relationship_pipeline.consent.ledger import ControlLedger
from relationship_pipeline.consent.optouts import OptOuts
from relationship_pipeline.domain.optout import DEFAULT_SCOPES, Kind, Mode, OptOut
from relationship_pipeline.lake.collect import Collection, collect_emails
from relationship_pipeline.lake.reader import open_table
from relationship_pipeline.layout import Layout
from relationship_pipeline.schemas import STAGED_EMAIL
from relationship_pipeline.settings import Settings
from relationship_pipeline.sources.base import Staged
from relationship_pipeline_tests.consent.tenant import directory, user

DAY = timedelta(days=1)
START = datetime(2026, 10, 1, tzinfo=UTC)
NAMES = ("amber", "bo", "cy")
GROUPS = ("g-mergers", "g-works-council")


@dataclass
class Tenant:
    """One consent with two opt-out groups, and what a mailbox gets: one email a day."""

    layout: Layout
    epoch: str

    @classmethod
    def consented(cls, root: Path) -> Tenant:
        layout = Layout(root)
        epoch = ControlLedger(layout).provide("admin@contoso.example", now=START)[0].epoch
        for group in GROUPS:
            OptOuts(layout, epoch).add(OptOut(Kind.GROUP, group, DEFAULT_SCOPES, Mode.FUTURE_ONLY, made_at=START))
        return cls(layout, epoch)

    def run(self, at: datetime, members: Mapping[str, Sequence[str]]) -> set[tuple[str, datetime]]:
        """One daily run: snapshot, rules, the month so far. Returns the copies that the lake holds after it."""
        settings = Settings(data_dir=self.layout.root, threads=1, memory_limit="512MB")
        reading = directory([user(name) for name in NAMES], groups=members, read_at=at)
        record_memberships(self.layout, self.epoch, reading, GROUPS)
        rules = read_rules(self.layout, self.epoch, reading, settings, at)
        path = self.layout.epoch(self.epoch).stage / "rows.parquet"
        pq.write_table(pa.Table.from_pylist([email(*copy) for copy in received_until(at)], schema=STAGED_EMAIL), path)
        fence = partial(rules_fence, self.layout, self.epoch, rules.version)
        collection = Collection(self.layout, self.epoch, rules, reading, settings, fence)
        mailboxes = frozenset(f"id-{name}" for name in NAMES)
        collect_emails(collection, "2026-10", Staged(files=(path,), read_mailboxes=mailboxes))
        folder = self.layout.epoch(self.epoch).month("email", "2026-10")
        rows = [
            row
            for file in open_table(folder).paths(folder)
            for row in pq.read_table(file, partitioning=None).to_pylist()
        ]
        return {(row["mailbox"], row["received_at"]) for row in rows}


def received_until(at: datetime) -> list[tuple[str, datetime]]:
    return [(f"id-{name}", START + day * DAY + DAY / 2) for name in NAMES for day in range((at - START).days)]


def email(mailbox: str, received_at: datetime) -> dict[str, object]:
    return {
        "mailbox": mailbox,
        "item_id": f"{mailbox}-{received_at}",
        "internet_message_id": f"<{mailbox}-{received_at}@x>",
        "sent_at": received_at,
        "received_at": received_at,
        "from_address": "kim@customer.example",
        "to_addresses": [mailbox.replace("id-", "") + "@contoso.example"],
        "cc_addresses": [],
        "folder_class": "inbox",
        "is_draft": False,
        "is_meeting_message": False,
        "has_bulk_header": False,
    }


def test_o1_amber_moves_from_sales_to_mergers(tmp_path):
    tenant = Tenant.consented(tmp_path / "data")
    nobody, moved = {group: [] for group in GROUPS}, {"g-mergers": ["id-amber"], "g-works-council": []}
    before = tenant.run(START + 10 * DAY, nobody)
    ambers = {copy for copy in before if copy[0] == "id-amber"}
    assert len(ambers) == 10
    after = tenant.run(START + 20 * DAY, moved)
    assert {copy for copy in after if copy[0] == "id-amber"} == ambers, "hers before the move stays, after it none"
    assert len(after) == 10 + 20 + 20
    back = tenant.run(START + 30 * DAY, nobody)
    kept = sorted(at for mailbox, at in back if mailbox == "id-amber")
    assert kept == [START + day * DAY + DAY / 2 for day in range(10)], (
        "what came while she was a member stays uncollected"
    )


def oracle(history: list[tuple[datetime, Mapping[str, Sequence[str]]]], held: set[tuple[str, datetime]]) -> set:
    """What the lake holds after the last run of the history, from what it held before: looked up snapshot by snapshot."""
    at, members = history[-1]
    result = set()
    for copy in set(received_until(at)) | held:
        mailbox, received_at = copy
        out_now = any(mailbox in inside for inside in members.values())
        was_out = any(was_member([(t, mailbox in groups[g]) for t, groups in history], received_at) for g in GROUPS)
        if (not out_now and not was_out) or copy in held:
            result.add(copy)
    return result


def was_member(snapshots: list[tuple[datetime, bool]], instant: datetime) -> bool:
    earlier = [shown for taken_at, shown in snapshots if taken_at <= instant]
    later = [shown for taken_at, shown in snapshots if taken_at > instant]
    return bool(earlier and earlier[-1]) or bool(later and later[0])


@pytest.mark.parametrize("seed", range(5))
def test_o1_random_histories_of_two_groups_end_as_the_oracle_says(seed, tmp_path):
    histories(tmp_path, seed, 1)


@pytest.mark.soak
def test_o1_a_thousand_random_histories_through_the_collection_step(tmp_path):
    histories(tmp_path, 1000, 1000)


def histories(folder: Path, seed: int, count: int) -> None:
    rng = random.Random(seed)
    for number in range(count):
        tenant = Tenant.consented(folder / str(number))
        history: list[tuple[datetime, Mapping[str, Sequence[str]]]] = []
        held: set[tuple[str, datetime]] = set()
        for day in sorted(rng.sample(range(1, 31), 4)):
            members = {group: [f"id-{name}" for name in NAMES if rng.random() < 0.3] for group in GROUPS}
            history.append((START + day * DAY, members))
            found = tenant.run(*history[-1])
            held = oracle(history, held)
            assert found == held, f"seed {seed}, history {number}, day {day}"
