from __future__ import annotations

import os
import stat
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from relationship_pipeline.data_dir import prepare
from relationship_pipeline.domain.consent import ConsentState
from relationship_pipeline.errors import BadInput, BadLake, ConsentRefused, PipelineError
from relationship_pipeline.publishing import publish as publishing
from relationship_pipeline.publishing import roles
from relationship_pipeline.publishing.allowed import Allowed
from relationship_pipeline.publishing.build import BuildOrder
from relationship_pipeline.publishing.connection import database_path
from relationship_pipeline.schemas import KPIS, PUBLISHED, WHO_KNOWS_WHOM
from relationship_pipeline.settings import PublishSettings, Settings
from relationship_pipeline_tests.publishing.tenants import AS_OF, Tenant, company, everyone, tenant, write_table


def rows_of(database: Path, statement: str) -> list[tuple[object, ...]]:
    """Read as a stranger with a DuckDB of his own would."""
    with duckdb.connect(str(database), read_only=True) as connection:
        return connection.execute(statement).fetchall()


def tables_of(database: Path) -> set[str]:
    return {str(name) for (name,) in rows_of(database, "select table_name from duckdb_tables()")}


def database(made: Tenant, role: str) -> Path:
    return database_path(made.layout.published, role)


def test_V1_each_role_gets_a_database_of_its_own_with_its_tables_only(tmp_path: Path) -> None:
    made = tenant(tmp_path)
    roles.grant(made.ledger, "analyst", KPIS)
    counts = made.publish()
    assert set(counts) == {"analyst", "sales_manager", "salesperson"}
    assert tables_of(database(made, "salesperson")) == set(PUBLISHED)
    assert tables_of(database(made, "analyst")) == {name for name, table in PUBLISHED.items() if table.grant == KPIS}
    assert not database(made, "guest").exists()
    assert counts["salesperson"]["who_knows_whom"] == len(made.rows["who_knows_whom"])
    assert counts["analyst"] == {name: n for name, n in counts["salesperson"].items() if PUBLISHED[name].grant == KPIS}


def test_columns_types_and_comments_are_the_contracts(published: Tenant) -> None:
    found = rows_of(
        database(published, "salesperson"),
        "select table_name, column_name, lower(data_type), comment from duckdb_columns() where not internal "
        "order by table_name, column_index",
    )
    names = {
        "string": "varchar",
        "int64": "bigint",
        "int32": "integer",
        "double": "double",
        "bool": "boolean",
        "date32[day]": "date",
        "timestamp[us, tz=UTC]": "timestamp with time zone",
    }
    promised = [
        (name, column, names[str(kind)], comment)
        for name, table in sorted(PUBLISHED.items())
        for column, kind, comment in table.columns
    ]
    assert found == promised


def test_every_table_says_that_it_is_not_for_employment_decisions(published: Tenant) -> None:
    comments = rows_of(database(published, "salesperson"), "select comment from duckdb_tables() where not internal")
    assert len(comments) == len(PUBLISHED)
    assert all("employment decisions" in str(comment) for (comment,) in comments)


def test_rows_arrive_whole_and_sorted_for_look_ups(published: Tenant) -> None:
    contacts = rows_of(database(published, "salesperson"), "select contact_email from contact_kpis")
    assert contacts == sorted(contacts)
    assert len(contacts) == len(published.rows["contact_kpis"])
    edges = rows_of(database(published, "salesperson"), "select target, source from graph_edges")
    assert edges == sorted(edges)


def test_the_file_opens_in_older_clients(published: Tenant) -> None:
    (tags,) = rows_of(database(published, "salesperson"), "select tags from duckdb_databases() where not internal")[0]
    assert "v1.2" in str(tags)


def test_O4_K5_hidden_people_and_barred_introducers_never_reach_a_database(tmp_path: Path) -> None:
    """Reliability test 30: looked for by query and, in an uncompressed build, byte by byte."""
    made = tenant(tmp_path, company(contacts=60, colleagues=10))
    contacts = [row["contact_email"] for row in made.rows["contact_kpis"]]
    accounts = [row["account_id"] for row in made.rows["account_kpis"]]
    barred = {f"c{at:05d}@home.example" for at in (2, 5, 7)}
    allowed = Allowed(
        introducers=everyone(made.rows).introducers - barred,
        hidden_addresses=frozenset(contacts[:20]),
        hidden_domains=frozenset({accounts[-1]}),
    )
    made.publish(allowed, compression="uncompressed")
    gone = {*contacts[:20], *(email for email in contacts if email.endswith("@" + accounts[-1])), accounts[-1]}
    for role in ("salesperson", "sales_manager"):
        content = database(made, role).read_bytes()
        assert contacts[21].encode() in content, "the build is not readable by bytes, so this test sees nothing"
        assert [value for value in gone | barred if value.encode() in content] == []
        left = rows_of(database(made, role), "select source, target from graph_edges")
        assert left
        assert not (gone | barred) & {value for pair in left for value in pair}


def test_K5_a_colleague_who_is_not_named_as_introducer_is_nobody(tmp_path: Path) -> None:
    made = tenant(tmp_path)
    made.publish(Allowed(introducers=frozenset()))
    assert rows_of(database(made, "salesperson"), "select * from who_knows_whom") == []
    assert rows_of(database(made, "salesperson"), "select * from graph_edges") == []
    assert rows_of(database(made, "salesperson"), "select distinct kind from graph_nodes") == [("contact",)]
    assert rows_of(database(made, "salesperson"), "select count(*) > 0 from contact_kpis") == [(True,)]


def test_O5_a_hidden_domain_hides_its_account_under_a_crm_id_and_its_sub_domains(tmp_path: Path) -> None:
    rows = company(contacts=6, accounts=2)
    account = rows["account_kpis"][0]
    domain, account["account_id"] = account["domain"], "crm-1"
    for row in rows["daily_activity"]:
        row["record_id"] = "crm-1" if row["record_id"] == domain else row["record_id"]
    rows["contact_kpis"][0]["contact_email"] = f"x@mail.{domain}"
    made = tenant(tmp_path, rows)
    made.publish(Allowed(everyone(rows).introducers, hidden_domains=frozenset({domain})))
    records = {record for (record,) in rows_of(database(made, "salesperson"), "select record_id from daily_activity")}
    assert records
    assert "crm-1" not in records
    emails = [str(row[0]) for row in rows_of(database(made, "salesperson"), "select contact_email from contact_kpis")]
    assert emails
    assert not [email for email in emails if email.endswith(domain)]


def test_N7_a_contact_of_a_hidden_account_keeps_its_rows_and_is_shown_without_it(tmp_path: Path) -> None:
    rows = company(contacts=12, accounts=2)
    account = rows["account_kpis"][0]
    domain, account["account_id"] = account["domain"], "crm-1"
    friend = "friend@elsewhere.example"
    planned = {"contact_email": friend, "account_id": domain, "start_at": AS_OF + timedelta(days=4)}
    rows["planned_meetings"] = [{**planned, "is_all_day": False, "colleagues": 1}]
    first = rows["contact_kpis"][0]["contact_email"]
    for table in rows.values():
        for row in table:
            row.update({name: friend for name, value in row.items() if value == first})
            row.update({name: "crm-1" for name, value in row.items() if value == domain and name != "domain"})
    rows["daily_activity"].append({"record_type": "opportunity", "record_id": "o0", "day": AS_OF.date()})
    rows["daily_activity"].append({"record_type": "lead", "record_id": "crm-1", "day": AS_OF.date()})
    made = tenant(tmp_path, rows)
    made.publish(Allowed(everyone(rows).introducers, hidden_domains=frozenset({domain})))
    shown = database(made, "salesperson")
    for table, column in (
        ("contact_kpis", "contact_email"),
        ("planned_meetings", "contact_email"),
        ("graph_nodes", "node_id"),
    ):
        assert rows_of(shown, f"select {column}, account_id from {table} where {column} = '{friend}'") == [
            (friend, None)
        ]
    ties = [row for row in rows["graph_edges"] if row["target"] == friend]
    assert rows_of(shown, f"select count(*) from graph_edges where target = '{friend}'") == [(len(ties),)]
    records = rows_of(
        shown, "select distinct record_type, record_id from daily_activity where record_id in ('crm-1', 'o0')"
    )
    assert records == [("lead", "crm-1")], (
        "the account and its opportunity went; a lead that has the same id is another"
    )
    assert rows_of(shown, "from account_kpis where account_id = 'crm-1'") == []
    assert rows_of(shown, "from opportunity_kpis where opportunity_id = 'o0'") == []
    left = {account for (account,) in rows_of(shown, "select account_id from contact_kpis")}
    assert left == {None, rows["account_kpis"][1]["account_id"]}


def test_O6_a_lead_loses_its_row_while_it_still_carries_the_name_of_somebody_suppressed(tmp_path: Path) -> None:
    rows = company()
    hidden, renamed, left = [row["lead_id"] for row in rows["lead_kpis"]][:3]
    rows["lead_kpis"][1]["lead_name"] = None
    leads = {hidden: ["gone@a.example"], renamed: ["x@b.gone.example"], left: ["here@a.example"]}
    made = tenant(tmp_path, rows)
    made.publish(
        Allowed(everyone(rows).introducers, frozenset({"gone@a.example"}), frozenset({"gone.example"}), leads=leads)
    )
    shown = {lead for (lead,) in rows_of(database(made, "salesperson"), "select lead_id from lead_kpis")}
    assert {hidden, renamed, left} & shown == {renamed, left}


def test_a_reader_keeps_its_version_while_others_publish(tmp_path: Path) -> None:
    made = tenant(tmp_path)
    made.publish()
    script = (
        "import duckdb, sys\n"
        "c = duckdb.connect(sys.argv[1], read_only=True)\n"
        "for line in sys.stdin: print(c.execute('select count(*) from contact_kpis').fetchone()[0], flush=True)"
    )
    command = [sys.executable, "-c", script, str(database(made, "salesperson"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdin and reader.stdout

        def count() -> int:
            print("again", file=reader.stdin, flush=True)
            return int(reader.stdout.readline())  # type: ignore[union-attr]

        assert count() == 40
        made.write(company(contacts=7))
        made.publish()
        assert count() == 40
    assert rows_of(database(made, "salesperson"), "select count(*) from contact_kpis") == [(7,)]


def test_publishing_twice_gives_the_same_tables_and_leaves_no_work_files(tmp_path: Path) -> None:
    made = tenant(tmp_path)
    first = made.publish()
    (made.epoch.tmp / ".tmp-killed-publish").mkdir()
    before = {name: rows_of(database(made, "salesperson"), f"from {name}") for name in PUBLISHED}
    assert made.publish() == first
    assert before == {name: rows_of(database(made, "salesperson"), f"from {name}") for name in PUBLISHED}
    assert list(made.epoch.tmp.iterdir()) == []
    assert sorted(path.name for path in made.epoch.published.iterdir()) == [
        "sales_manager.duckdb",
        "salesperson.duckdb",
    ]


def test_after_a_withdrawal_nothing_is_published(tmp_path: Path) -> None:
    made = tenant(tmp_path)
    made.publish()
    before = database(made, "salesperson").stat().st_ino
    made.ledger.change_state(made.epoch.epoch, ConsentState.WITHDRAWN, now=AS_OF, reason="test")
    with pytest.raises(ConsentRefused):
        made.publish()
    assert database(made, "salesperson").stat().st_ino == before
    assert list(made.epoch.tmp.iterdir()) == []


def test_V1_a_revoked_grant_takes_the_tables_with_it(tmp_path: Path) -> None:
    made = tenant(tmp_path)
    made.publish()
    roles.revoke(made.ledger, "salesperson", WHO_KNOWS_WHOM)
    publishing.unpublish(made.layout, "salesperson", made.epoch.epoch)
    assert not database(made, "salesperson").exists()
    made.publish(only="salesperson")
    assert "who_knows_whom" not in tables_of(database(made, "salesperson"))
    roles.revoke(made.ledger, "salesperson", KPIS)
    made.publish()
    assert not database(made, "salesperson").exists()
    assert database(made, "sales_manager").exists()


def test_V1_a_grant_revoked_while_a_database_is_built_is_not_published(tmp_path: Path) -> None:
    made = tenant(tmp_path)
    stale = next(role for role in roles.list_roles(made.ledger) if role.name == "salesperson")
    built = made.epoch.tmp / "built.duckdb"
    built.write_bytes(b"whole")
    roles.revoke(made.ledger, "salesperson", WHO_KNOWS_WHOM)
    target = database_path(made.epoch.published, "salesperson")
    assert not publishing.swap_in(made.layout, stale, built, target, None, made.fence)
    assert not target.exists()
    assert not built.exists()


def test_built_tables_of_another_instant_are_refused(tmp_path: Path) -> None:
    made = tenant(tmp_path)
    table = PUBLISHED["batches"]
    row = {"month": "2026-10", "as_of": AS_OF - timedelta(days=1)}
    stale = pa.Table.from_pylist([{name: row.get(name) for name in table.schema.names}], schema=table.schema)
    write_table(made.epoch, "batches", stale)
    with pytest.raises(BadLake, match="table batches was built for another instant"):
        made.publish()


def test_a_missing_or_damaged_built_table_is_named(tmp_path: Path) -> None:
    made = tenant(tmp_path)
    made.publish()
    part = next(made.epoch.insight("alerts").glob("part-*"))
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    with pytest.raises(BadLake, match="table alerts"):
        made.publish()
    (made.epoch.insight("alerts") / "manifest.json").unlink()
    with pytest.raises(BadLake, match="table alerts has not been built"):
        made.publish()
    assert tables_of(database(made, "salesperson")) == set(PUBLISHED)


def test_a_failing_build_is_one_line_without_values(tmp_path: Path) -> None:
    broken = tmp_path / "part.parquet"
    pq.write_table(pa.table({"contact_email": ["someone@secret.example"]}), broken)
    order = BuildOrder(
        target=str(tmp_path / "x.duckdb"),
        tables={"contact_kpis": [str(broken)]},
        spill=str(tmp_path),
        memory_limit="256MiB",
        threads=1,
    )
    with pytest.raises(PipelineError) as caught:
        publishing.run_build(order)
    assert "BinderException" in str(caught.value)
    assert "secret.example" not in str(caught.value)
    assert not (tmp_path / "x.duckdb").exists()


def test_modes_are_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        made = tenant(tmp_path)
        made.publish()
    finally:
        os.umask(before)
    for path in made.epoch.published.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(made.epoch.published.stat().st_mode) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="giving files to foreign groups needs root")
@pytest.mark.parametrize("groups", [{"salesperson": "users"}, {"salesperson": "users", "sales_manager": "mail"}])
def test_a_group_may_open_its_roles_file_and_pass_its_path(tmp_path: Path, groups: dict[str, str]) -> None:
    made = tenant(tmp_path)
    settings = Settings(data_dir=made.layout.root, publish=PublishSettings(group=groups), memory_limit="512MiB")
    made.publish(settings=settings)
    tmp_path.chmod(0o711)
    for parent in list(tmp_path.parents)[:-2]:
        parent.chmod(parent.stat().st_mode | 0o011)
    for role in ("salesperson", "sales_manager"):
        wanted = 0o640 if role in groups else 0o600
        assert stat.S_IMODE(database(made, role).stat().st_mode) == wanted
    for folder in (made.layout.root, made.layout.epochs, made.epoch.root, made.epoch.published):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o710
    for role, group in groups.items():
        for other in groups:
            opens = subprocess.run(
                ["head", "-c1", database(made, other)], user="nobody", group=group, extra_groups=[], capture_output=True
            )
            assert (opens.returncode == 0) == (role == other)
    prepare(settings)
    assert stat.S_IMODE(made.layout.root.stat().st_mode) == 0o710, "other commands leave the way open"
    made.publish()
    assert stat.S_IMODE(made.layout.root.stat().st_mode) == 0o700
    assert stat.S_IMODE(database(made, "salesperson").stat().st_mode) == 0o600


def test_a_group_that_does_not_exist_is_named_by_its_setting(tmp_path: Path) -> None:
    made = tenant(tmp_path)
    settings = Settings(data_dir=made.layout.root, publish=PublishSettings(group={"salesperson": "no-such-group"}))
    with pytest.raises(BadInput, match=r"publish.group.salesperson: there is no group no-such-group"):
        made.publish(settings=settings)


def test_the_top_level_link_moves_to_the_current_epoch_and_a_strangers_folder_stops_it(tmp_path: Path) -> None:
    made = tenant(tmp_path)
    made.layout.published.symlink_to("epochs/e0000-gone/published")
    made.publish()
    assert made.layout.published.resolve() == made.epoch.published.resolve()
    made.layout.published.unlink()
    made.layout.published.mkdir()
    with pytest.raises(BadInput, match="not the pipeline's link"):
        made.publish()
