"""K7: a user hides a tie or marks it wrong, and nobody is shown it any more; the numbers stay."""

from __future__ import annotations

import random
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from relationship_pipeline import operations
from relationship_pipeline.consent.tie_marks import TieMarks, TieReason
from relationship_pipeline.errors import BadInput
from relationship_pipeline.operations import Work
from relationship_pipeline.publishing.connection import database_path
from relationship_pipeline.publishing.export import export_graph, nodes_file
from relationship_pipeline.publishing.who_knows import who_knows
from relationship_pipeline_tests import factories
from relationship_pipeline_tests.operations.company import collect_and_publish, consented, quiet, settings_of

pytestmark = pytest.mark.xdist_group("ties")  # the company is made once

ADA, BEN, CLEO = COLLEAGUES = ("ada@contoso.com", "ben@contoso.com", "cleo@contoso.com")
DORA, EMIL, FAY = CONTACTS = ("dora@northwind.example", "emil@eu.northwind.example", "fay@tailspin.example")
NORTHWIND = "northwind.example"
OLD_BEN = "b.old@contoso.com"
TIES = ("who_knows_whom", "who_knows_company", "strength_components", "graph_nodes", "graph_edges")


def write_company(folder: Path) -> None:
    """Everybody knows everybody, Ada best and Cleo least."""
    messages = []
    rng = random.Random(7)
    for often, sender in zip((12, 8, 5), COLLEAGUES, strict=True):
        for other in (*CONTACTS, *COLLEAGUES):
            for _ in range(often if other != sender else 0):
                at = datetime(2026, 4, 1, tzinfo=UTC) + timedelta(minutes=rng.randrange(43_000))
                messages.append(factories.message(sender, sender=sender, to=[other], at=at))
    users = [factories.user(one, aliases=[OLD_BEN] if one == BEN else ()) for one in COLLEAGUES]
    factories.write_export(folder / "export", User_v1=users, Message_v1=messages)


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("company")
    write_company(folder)
    collect_and_publish(consented(folder / "export", folder / "data"), ["2026-04"])
    return folder


@pytest.fixture
def work(company: Path, tmp_path: Path) -> Work:
    """A published company of one's own to hide ties in."""
    shutil.copytree(company / "data", tmp_path / "data", symlinks=True)
    return Work(settings_of(company / "export", tmp_path / "data"), quiet)


def rows(work: Work, table: str, role: str = "salesperson") -> list[dict[str, Any]]:
    path = database_path(work.settings.layout.published, role)
    with duckdb.connect(str(path), read_only=True) as connection:
        found = connection.execute("select t.* from query_table($table) as t", {"table": table})
        names = [column[0] for column in found.description]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def ties(work: Work) -> dict[str, list[dict[str, Any]]]:
    return {name: rows(work, name) for name in TIES}


def introducers(work: Work, looked_up: str) -> list[str]:
    return [one.colleague_email for one in who_knows(work.settings.layout, looked_up).introducers]


def paths(work: Work, looked_up: str, me: str) -> list[str]:
    return [one.colleague_email for one in who_knows(work.settings.layout, looked_up, from_colleague=me).paths]


def edges(work: Work) -> set[frozenset[str]]:
    return {frozenset((row["source"], row["target"])) for row in rows(work, "graph_edges")}


def hide(work: Work, record: str, colleague: str, reason: TieReason = TieReason.HIDDEN) -> None:
    operations.hide_tie(work, record, colleague, reason)


def marks(work: Work) -> TieMarks:
    return TieMarks(work.settings.layout, work.ledger.current().epoch)


def test_k7_a_hidden_tie_is_nowhere_and_the_next_colleague_moves_up(work: Work, tmp_path: Path) -> None:
    kpis, before = rows(work, "contact_kpis"), edges(work)
    assert introducers(work, DORA) == [ADA, BEN, CLEO]
    hide(work, f" {DORA.upper()} ", ADA)
    assert introducers(work, DORA) == [BEN, CLEO]
    assert [row["rank"] for row in rows(work, "who_knows_whom") if row["contact_email"] == DORA] == [1, 2]
    assert {row["colleague_email"] for row in rows(work, "strength_components") if row["contact_email"] == DORA} == {
        BEN,
        CLEO,
    }
    assert before - edges(work) == {frozenset((DORA, ADA))}, "nothing else goes"
    assert rows(work, "who_knows_whom", "sales_manager") == rows(work, "who_knows_whom"), "the same for all (V3)"
    assert rows(work, "contact_kpis") == kpis
    target = tmp_path / "graph.parquet"
    export_graph(work.settings.layout, target)
    assert (ADA, DORA) not in {(row["source"], row["target"]) for row in pq.read_table(target).to_pylist()}
    assert {row["degree"] for row in pq.read_table(nodes_file(target)).to_pylist() if row["node_id"] == DORA} == {2}


def test_k7_the_company_tie_stays_while_a_tie_to_one_of_its_people_is_shown(work: Work) -> None:
    hide(work, DORA, ADA)
    assert introducers(work, NORTHWIND) == [ADA, BEN, CLEO]
    hide(work, EMIL, ADA)
    assert introducers(work, NORTHWIND) == [BEN, CLEO]
    assert introducers(work, FAY) == [ADA, BEN, CLEO]


def test_k7_hiding_a_company_hides_its_people_too(work: Work) -> None:
    hide(work, NORTHWIND, OLD_BEN)
    for looked_up in (NORTHWIND, DORA, EMIL):
        assert introducers(work, looked_up) == [ADA, CLEO]
    assert introducers(work, "tailspin.example") == [ADA, BEN, CLEO]


def test_k7_a_sub_domain_stands_for_its_company_as_it_does_in_look_ups(work: Work) -> None:
    hide(work, "eu.northwind.example", ADA)
    for looked_up in (NORTHWIND, "eu.northwind.example", DORA, EMIL):
        assert introducers(work, looked_up) == [BEN, CLEO]


def test_k7_paths_lead_over_no_hidden_tie(work: Work) -> None:
    assert paths(work, FAY, CLEO) == [ADA, BEN]
    hide(work, FAY, ADA)
    assert paths(work, FAY, CLEO) == [BEN]
    hide(work, CLEO, BEN)
    assert paths(work, FAY, CLEO) == [], "a tie among colleagues can be hidden too"
    assert introducers(work, FAY) == [BEN, CLEO]


def test_k7_shown_again_all_is_as_it_was_and_twice_is_as_once(work: Work) -> None:
    before = ties(work)
    hide(work, DORA, ADA)
    hide(work, DORA, ADA, TieReason.WRONG)
    (mark,) = operations.hidden_ties(work)
    assert (mark.record, mark.colleague, mark.reason, mark.made_by) == (DORA, ADA, "wrong", "administrator")
    assert operations.show_tie(work, DORA, ADA)
    assert not operations.show_tie(work, DORA, ADA)
    assert ties(work) == before
    assert operations.hidden_ties(work) == []


def test_k7_a_contact_all_of_whose_ties_are_hidden_can_be_shown_again(work: Work) -> None:
    for colleague in COLLEAGUES:
        hide(work, DORA, colleague)
    with pytest.raises(BadInput, match="no tie to that address is shown"):
        introducers(work, DORA)
    assert operations.show_tie(work, DORA, CLEO)
    assert introducers(work, DORA) == [CLEO]


@pytest.mark.parametrize(
    ("record", "colleague", "said"),
    [
        ("nobody@northwind.example", ADA, "no contact of that address is known"),
        ("gmail.com", ADA, "free-mail domains are no company"),
        ("unknown.example", ADA, "no company of that domain is known"),
        (DORA, "zoe@contoso.com", "that colleague is not known"),
        (DORA, EMIL, "that colleague is not known"),
        ("northwind", ADA, "neither an address nor a domain"),
        ("dora@", ADA, "not one address"),
        (BEN, OLD_BEN, "two ends"),
    ],
)
def test_k7_a_mistake_is_one_line_and_marks_nothing(work: Work, record: str, colleague: str, said: str) -> None:
    for change in (lambda: hide(work, record, colleague), lambda: operations.show_tie(work, record, colleague)):
        with pytest.raises(BadInput, match=said) as refused:
            change()
        assert "\n" not in str(refused.value)
        assert record not in str(refused.value)
        assert colleague not in str(refused.value)
    assert marks(work).entries() == []


def test_k7_w5_erasing_a_person_takes_their_marks(work: Work) -> None:
    operations.hide_tie(work, DORA, ADA, TieReason.HIDDEN, by=OLD_BEN)
    operations.hide_tie(work, DORA, BEN, TieReason.WRONG)
    operations.hide_tie(work, FAY, BEN, TieReason.WRONG, by=ADA)
    assert [mark.made_by for mark in operations.hidden_ties(work)] == [BEN, "administrator", ADA]
    assert operations.erase_person(work, BEN, everywhere=False) == "COMPLETED"
    (left,) = operations.hidden_ties(work)
    assert (left.record, left.colleague, left.made_by) == (DORA, ADA, "administrator")
    assert operations.erase_person(work, DORA, everywhere=True) == "COMPLETED"
    assert operations.hidden_ties(work) == []


def test_k7_w7_subject_access_shows_the_marks_of_both_ends(work: Work) -> None:
    hide(work, DORA, ADA)
    for address in (DORA, ADA):
        (mark,) = operations.export_person(work, address)["held"]["ledger"]["tie_mark"]
        assert (mark["kind"], mark["subject"], mark["reason"]) == ("contact", DORA, "hidden")


def test_k7_a_restored_backup_brings_no_hidden_tie_back(work: Work) -> None:
    operations.make_backup(work)
    hide(work, DORA, ADA)
    (sealed,) = work.settings.layout.backups.rglob("*.sealed")
    operations.restore_backup(work, sealed)
    operations.build_everything(work)
    assert introducers(work, DORA) == [BEN, CLEO]
