from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import pytest

from relationship_pipeline.cli.insights import show_answer
from relationship_pipeline.errors import BadInput, Refused
from relationship_pipeline.publishing import introduction, roles
from relationship_pipeline.publishing.who_knows import MOST_PATHS, Answer, who_knows
from relationship_pipeline.schemas import KPIS
from relationship_pipeline_tests.command import refuse, succeed
from relationship_pipeline_tests.publishing.tenants import AS_OF, Tenant, company, tenant


def look_ups(made: Tenant) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(made.epoch.ledger)) as connection:
        return connection.execute("select at, role, purpose, looked_up_hash, asked_for from look_up").fetchall()


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Tenant:
    made = tenant(tmp_path_factory.mktemp("asked"), company(seed=4, contacts=30, colleagues=25))
    made.publish()
    return made


def test_K1_the_strongest_colleagues_come_first_with_reasons_and_evidence(asked: Tenant) -> None:
    ties = [row for row in asked.rows["who_knows_whom"] if row["contact_email"] == "p000003@dune-textiles.example"]
    answer = who_knows(asked.layout, " P000003@Dune-Textiles.example ")
    assert [(one.rank, one.colleague_email, one.strength) for one in answer.introducers] == [
        (tie["rank"], tie["colleague_email"], tie["strength"]) for tie in ties
    ]
    assert answer.kind == "contact"
    assert answer.name
    assert answer.as_of == AS_OF
    assert all(one.reasons and one.last_interaction_at < AS_OF for one in answer.introducers)


def test_V3_every_role_sees_the_same_introducers_in_the_same_order(asked: Tenant) -> None:
    for row in asked.rows["contact_kpis"]:
        answers = [who_knows(asked.layout, row["contact_email"], role) for role in ("salesperson", "sales_manager")]
        assert answers[0] == answers[1]


def test_a_company_is_asked_for_by_its_domain_or_any_domain_of_its_contacts(tmp_path: Path) -> None:
    rows = company(contacts=4, accounts=2)
    crm = rows["account_kpis"][0]["account_id"]
    for table in ("who_knows_company", "graph_nodes"):
        for row in rows[table]:
            if row.get("account_id") == crm:
                row["account_id"] = "crm-7"
    made = tenant(tmp_path, rows)
    made.publish()
    direct = who_knows(made.layout, "Borealis-Marine.example")
    assert (direct.kind, direct.looked_up, len(direct.introducers)) == ("company", "borealis-marine.example", 5)
    mapped = who_knows(made.layout, crm)
    assert (mapped.looked_up, len(mapped.introducers)) == ("crm-7", 5)


def test_K4_paths_lead_over_a_colleague_by_the_product_of_both_legs(asked: Tenant) -> None:
    """Against a slow search over the rows that were published."""
    edges = asked.rows["graph_edges"]
    found = 0
    for me in ("c00000@home.example", "c00007@home.example", "c00024@home.example"):
        between = {}
        for edge in edges:
            if edge["kind"] == "colleague_colleague" and me in (edge["source"], edge["target"]):
                other = edge["target"] if edge["source"] == me else edge["source"]
                between[other] = edge
        for contact in (row["contact_email"] for row in asked.rows["contact_kpis"]):
            expected = []
            for edge in edges:
                first = between.get(edge["source"])
                if edge["target"] == contact and first:
                    last = min(first["last_interaction_at"], edge["last_interaction_at"])
                    product = first["strength"] * edge["strength"]
                    expected.append((-product, -last.timestamp(), edge["source"], first["strength"], edge["strength"]))
            paths = who_knows(asked.layout, contact, from_colleague=me).paths
            assert [(path.colleague_email, path.first_strength, path.second_strength) for path in paths] == [
                entry[2:] for entry in sorted(expected)[:MOST_PATHS]
            ]
            assert all(path.strength == path.first_strength * path.second_strength / 100 for path in paths)
            found += len(paths)
    assert found > 20


def test_paths_to_a_company_use_its_introducers(asked: Tenant) -> None:
    answer = who_knows(asked.layout, "ember-energy.example", from_colleague="C00003@home.example")
    assert answer.from_colleague == "c00003@home.example"
    known = {one.colleague_email for one in answer.introducers}
    assert {path.colleague_email for path in answer.paths} <= known


def test_a_contact_whom_nobody_has_a_tie_with_is_known_but_has_no_introducer(tmp_path: Path) -> None:
    rows = company(contacts=2)
    rows["graph_nodes"].append({"node_id": "new@alpine-foods.example", "kind": "contact", "degree": 0})
    made = tenant(tmp_path, rows)
    made.publish()
    answer = who_knows(made.layout, "new@alpine-foods.example")
    assert answer.introducers == ()
    with pytest.raises(BadInput, match="nobody else here has a tie"):
        introduction.draft_introduction(answer)


@pytest.mark.parametrize(
    ("looked_up", "said"),
    [
        ("c00003@home.example", "that is a colleague"),
        ("stranger@nowhere.example", "no tie to that address is shown"),
        ("nowhere.example", "no tie to a company of that domain is shown"),
        ("p000000@", "not an e-mail address"),
        ("nonsense", "neither an address nor a domain"),
        ("' or 1=1 --", "neither an address nor a domain"),
        ("", "neither an address nor a domain"),
    ],
)
def test_an_unknown_contact_is_one_clear_line_without_the_address(asked: Tenant, looked_up: str, said: str) -> None:
    with pytest.raises(BadInput, match=said) as caught:
        who_knows(asked.layout, looked_up)
    assert "example" not in str(caught.value).replace("example.com", "")


def test_an_unknown_colleague_is_one_clear_line(asked: Tenant) -> None:
    with pytest.raises(BadInput, match="that colleague is not in the contact graph"):
        who_knows(asked.layout, "p000003@dune-textiles.example", from_colleague="p000004@ember-energy.example")


def test_V1_without_the_grant_a_look_up_is_refused_and_says_who_can_help(tmp_path: Path) -> None:
    made = tenant(tmp_path, company(contacts=2))
    roles.grant(made.ledger, "analyst", KPIS)
    made.publish()
    for role in ("analyst", "guest", "nobody_known"):
        with pytest.raises(Refused, match=rf"role {role}.*`relationship-pipeline role grant {role} who_knows_whom`"):
            who_knows(made.layout, "p000000@alpine-foods.example", role)


def test_V5_every_look_up_is_registered_with_role_purpose_time_and_a_keyed_hash(tmp_path: Path) -> None:
    made = tenant(tmp_path, company(contacts=2))
    made.publish()
    address = "p000000@alpine-foods.example"
    who_knows(made.layout, address, purpose="renewal", now=AS_OF)
    who_knows(made.layout, "alpine-foods.example", "sales_manager", now=AS_OF)
    with pytest.raises(BadInput):
        who_knows(made.layout, "stranger@nowhere.example", now=AS_OF)
    rows = look_ups(made)
    at = AS_OF.isoformat()
    assert [row[:3] for row in rows] == [
        (at, "salesperson", "renewal"),
        (at, "sales_manager", None),
        (at, "salesperson", None),
    ]
    assert [row[4] for row in rows] == ["contact", "company", "contact"]
    who_knows(made.layout, address, now=AS_OF)
    assert look_ups(made)[-1][3] == rows[0][3] != address
    assert len({row[3] for row in rows}) == 3
    assert b"alpine-foods" not in made.epoch.ledger.read_bytes()
    other = tenant(tmp_path / "other", company(contacts=2))
    other.publish()
    who_knows(other.layout, address, now=AS_OF)
    assert look_ups(other)[0][3] != rows[0][3], "the key is the epoch's own"


def test_V5_a_look_up_that_cannot_be_registered_is_not_answered(tmp_path: Path) -> None:
    made = tenant(tmp_path, company(contacts=2))
    made.publish()
    made.epoch.ledger.unlink()
    with pytest.raises(Refused, match="ledger"):
        who_knows(made.layout, "p000000@alpine-foods.example")


def test_K6_a_draft_names_both_and_leaves_open_what_only_a_person_knows(asked: Tenant) -> None:
    answer = who_knows(asked.layout, "p000003@dune-textiles.example")
    draft = introduction.draft_introduction(answer)
    first = answer.introducers[0]
    assert draft.to == first.colleague_email
    assert f"{answer.name} (p000003@dune-textiles.example)" in draft.subject
    assert f"Hi {first.colleague_name}," in draft.text
    assert first.reasons in draft.text
    assert introduction.UNKNOWN_PURPOSE in draft.text
    assert introduction.UNKNOWN_SENDER in draft.text
    assert "$" not in introduction.as_text(draft)


def test_K6_whoever_asks_is_the_sender_and_not_the_one_who_is_asked(asked: Tenant) -> None:
    for row in asked.rows["who_knows_whom"]:
        me = row["colleague_email"]
        answer = who_knows(asked.layout, row["contact_email"], from_colleague=me)
        if len(answer.introducers) == 1:
            continue
        draft = introduction.draft_introduction(answer)
        assert draft.to != me
        assert draft.text.endswith(f"{row['colleague_name']}\n")
        known = {one.colleague_email for one in answer.introducers}
        on_the_way = [path.colleague_email for path in answer.paths if path.colleague_email in known]
        assert not on_the_way or draft.to == on_the_way[0], "over the warmest path, where there is one"


def test_K6_with_json_the_draft_is_part_of_the_one_document(asked: Tenant) -> None:
    where = {"RELATIONSHIP_DATA_DIR": str(asked.layout.root)}
    said = succeed("who-knows", "p000003@dune-textiles.example", "--draft-introduction", "--json", **where)
    document = json.loads(said)
    assert document["draft"]["to"] == document["introducers"][0]["colleague_email"]


def test_K6_a_draft_that_cannot_be_written_is_one_line(asked: Tenant, tmp_path: Path) -> None:
    where = {"RELATIONSHIP_DATA_DIR": str(asked.layout.root)}
    target = str(tmp_path / "none" / "draft.eml")
    line = refuse("who-knows", "p000003@dune-textiles.example", "--eml", target, **where)
    assert "folder to write to does not exist" in line


def test_a_company_is_called_by_its_name_where_the_role_may_see_it(tmp_path: Path) -> None:
    made = tenant(tmp_path, company(contacts=6))
    roles.grant(made.ledger, "desk", "who_knows_whom")
    made.publish()
    assert who_knows(made.layout, "ember-energy.example").about == "Ember Energy (ember-energy.example)"
    assert who_knows(made.layout, "ember-energy.example", "desk").about == "ember-energy.example"


def test_N11_a_free_mail_domain_is_no_company(asked: Tenant) -> None:
    with pytest.raises(BadInput, match="free-mail"):
        who_knows(asked.layout, "Ember-Energy.example", free_mail={"ember-energy.example"})


def test_N11_a_public_suffix_is_no_company(asked: Tenant) -> None:
    with pytest.raises(BadInput, match="registered below"):
        who_knows(asked.layout, "co.uk")


def test_K6_an_eml_opens_as_an_unsent_draft(asked: Tenant) -> None:
    answer = who_knows(asked.layout, "p000003@dune-textiles.example")
    draft = introduction.draft_introduction(answer, sender_name="Zoë Ångström", purpose="We could help with freight.")
    message = message_from_bytes(introduction.as_eml(draft), policy=default)
    assert message["X-Unsent"] == "1"
    assert message["To"] == draft.to
    assert message["Subject"] == draft.subject
    assert message["From"] is None
    assert message.get_content().replace("\r\n", "\n") == draft.text
    assert "Zoë Ångström" in message.get_content()


def test_an_outsiders_name_cannot_add_a_header_to_a_draft(asked: Tenant) -> None:
    answer = who_knows(asked.layout, "p000003@dune-textiles.example")
    evil = Answer(**{**vars(answer), "name": "Eve\r\nBcc: all@home.example"})
    message = message_from_bytes(introduction.as_eml(introduction.draft_introduction(evil)), policy=default)
    assert message["Bcc"] is None
    assert set(message.keys()) == {
        "To", "Subject", "X-Unsent", "Content-Type", "Content-Transfer-Encoding", "MIME-Version"
    }  # fmt: skip


def test_an_outsiders_name_is_shown_in_a_terminal_as_it_is(asked: Tenant, capsys: pytest.CaptureFixture[str]) -> None:
    answer = who_knows(asked.layout, "p000003@dune-textiles.example", from_colleague="c00003@home.example")
    show_answer(Answer(**{**vars(answer), "name": "[/red][link=x]Eve\x1b[2J"}))
    assert "[/red][link=x]Eve\ufffd[2J" in capsys.readouterr().out


def test_a_template_of_ones_own_and_its_mistakes(asked: Tenant) -> None:
    answer = who_knows(asked.layout, "p000003@dune-textiles.example")
    draft = introduction.draft_introduction(answer, template="Hello $colleague_name\n\nMeet $wanted?")
    assert draft.subject.startswith("Hello ")
    with pytest.raises(BadInput, match=r"\$colleague_name"):
        introduction.draft_introduction(answer, template="Dear $nickname")
