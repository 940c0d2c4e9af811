"""The scanner against planted leftovers and clean deletions (W4, reliability.md 3.4.6)."""

from __future__ import annotations

import ast
import gzip
import os
import pickle
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from relationship_pipeline.durable import make_folder, put_bytes
from relationship_pipeline.erasure import scanner
from relationship_pipeline.erasure.run import run_erasure, verify_now
from relationship_pipeline_tests.erasure.lived_in import Home, consented, dagster_home, live_in

ADDRESS = "kim.lee@customer.example"


@pytest.fixture(scope="module")
def erased(tmp_path_factory) -> tuple[Home, bytes, bytes]:
    """A data directory after a clean deletion, with the key and a sealed backup that it had."""
    home = live_in(consented(tmp_path_factory.mktemp("scan") / "data"))
    key = home.store.key_path(home.epoch).read_bytes()
    sealed = home.store.sealed(home.epoch)[0].read_bytes()
    home.withdraw()
    run_erasure(home.deletion())
    return home, key, sealed


def tree(home: Home) -> Path:
    return make_folder(home.tree.root)


def lake_part(home: Home, undo: ExitStack) -> None:
    folder = make_folder(tree(home) / "lake" / "email" / "month=2026-10")
    pq.write_table(pa.table({"from_address": [ADDRESS]}), folder / "part-0123456789abcdef.parquet")


def published_database(home: Home, undo: ExitStack) -> None:
    path = make_folder(home.layout.dagster_home / "storage") / "role.duckdb"
    with closing(duckdb.connect(str(path))) as connection:
        connection.execute("create table t as select md5(range::varchar) || '@customer.example' as a from range(20000)")
        one = connection.execute("select a from t where rowid = 10000").fetchone()[0]
    assert one.encode() not in path.read_bytes(), "compressed: a byte search would miss it"


def write_ahead_log(home: Home, undo: ExitStack) -> None:
    put_bytes(make_folder(home.layout.dagster_home / "storage") / "role.duckdb.wal", b"\0" * 64)


def spill_file(home: Home, undo: ExitStack) -> None:
    put_bytes(make_folder(home.layout.dagster_home / ".tmp") / "duckdb_temp_storage_DEFAULT-0.tmp", os.urandom(4096))


def torn_copy(home: Home, undo: ExitStack) -> None:
    put_bytes(make_folder(home.layout.dagster_home / "storage") / "tmp_month.parquet", b"PAR1" + os.urandom(64))


def dead_tree(home: Home, undo: ExitStack) -> None:
    (home.layout.epochs / f".dead-{home.epoch}-00000000").mkdir()


def dagster_row(home: Home, undo: ExitStack) -> None:
    with closing(sqlite3.connect(dagster_home(home.layout))) as connection, connection:
        connection.execute("insert into runs values ('2', ?)", (f'{{"error": "mailbox {ADDRESS} refused"}}',))


def dagster_free_page(home: Home, undo: ExitStack) -> None:
    path = dagster_home(home.layout)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("pragma secure_delete = off")
        with connection:
            connection.executemany("insert into runs values (?, ?)", [(str(n), ADDRESS * 20) for n in range(100)])
        with connection:
            connection.execute("delete from runs where rowid > 1")


def compute_log(home: Home, undo: ExitStack) -> None:
    folder = make_folder(home.layout.dagster_home / "storage" / "run" / "compute_logs")
    put_bytes(folder / "step.err", f"ValueError: bad row of {ADDRESS}\n".encode())


def partition_file_name(home: Home, undo: ExitStack) -> None:
    put_bytes(make_folder(home.layout.dagster_home / "storage" / "asset") / ADDRESS, b"1")


def pickle_of_the_io_manager(home: Home, undo: ExitStack) -> None:
    folder = make_folder(home.layout.dagster_home / "storage" / "asset")
    put_bytes(folder / "2026-10", pickle.dumps([{"contact": ADDRESS, "n": b"\0\xff"}]))


def packed_export(home: Home, undo: ExitStack) -> None:
    put_bytes(home.layout.dagster_home / "export.json.gz", gzip.compress(b'{"address": "' + ADDRESS.encode() + b'"}'))


def settings_text(home: Home, undo: ExitStack) -> None:
    put_bytes(home.layout.settings_file, f"# ask {ADDRESS}\n".encode())


def open_handle(home: Home, undo: ExitStack) -> None:
    path = tree(home) / "gone.parquet"
    put_bytes(path, b"rows")
    undo.enter_context(path.open("rb"))
    path.unlink()
    path.parent.rmdir()


def key_left(home: Home, undo: ExitStack) -> None:
    put_bytes(make_folder(home.layout.keys) / home.epoch, os.urandom(32))


def published_link(home: Home, undo: ExitStack) -> None:
    home.layout.published.symlink_to(home.tree.published)


LEFTOVERS: dict[str, tuple[Callable[[Home, ExitStack], None], str]] = {
    "Parquet file of the lake": (lake_part, "epoch_file"),
    "published database, compressed": (published_database, "address_in_duckdb"),
    "write-ahead log": (write_ahead_log, "write_ahead_log"),
    "spill file": (spill_file, "spill_file"),
    "torn copy": (torn_copy, "temp_file"),
    "tree renamed but not unlinked": (dead_tree, "dead_tree"),
    "row in Dagster's storage": (dagster_row, "address_in_sqlite"),
    "deleted row in a free page": (dagster_free_page, "address_in_sqlite_free_pages"),
    "compute log": (compute_log, "address_in_text"),
    "partition key as a file name": (partition_file_name, "address_in_file_name"),
    "pickle": (pickle_of_the_io_manager, "address_in_bytes"),
    "gzip export": (packed_export, "address_in_gzip"),
    "settings": (settings_text, "address_in_text"),
    "open deleted file": (open_handle, "open_deleted_file"),
    "key": (key_left, "key_left"),
    "link to published": (published_link, "published_link"),
}


@pytest.mark.parametrize("leftover", LEFTOVERS)
def test_w4_every_planted_leftover_is_reported_by_its_kind(leftover, erased, tmp_path):
    home = copy_of(erased[0], tmp_path)
    plant, kind = LEFTOVERS[leftover]
    with ExitStack() as undo:
        plant(home, undo)
        result = verify_now(home.deletion())
    assert not result["clean"]
    assert kind in {finding["kind"] for finding in result["findings"]}, result["findings"]


def test_w4_a_sealed_backup_is_reported_only_while_some_key_opens_it(erased, tmp_path):
    pristine, key, sealed = erased
    home = copy_of(pristine, tmp_path)
    folder = make_folder(home.store.folder(home.epoch))
    put_bytes(folder / "20261123T090000Z-00000000.sealed", sealed)
    assert verify_now(home.deletion())["clean"], "sealed and without its key: unreadable until its due date"
    put_bytes(home.layout.control / "forgotten.key", key)
    kinds = {finding["kind"] for finding in verify_now(home.deletion())["findings"]}
    assert "backup_opens" in kinds


def copy_of(home: Home, folder: Path) -> Home:
    shutil.copytree(home.layout.root, folder / "data", symlinks=True)
    return Home(type(home.layout)(folder / "data"), home.epoch)


@pytest.mark.parametrize("seed", range(4))
def test_w4_no_false_alarm_on_clean_deletions(seed, tmp_path):
    clean_deletions(tmp_path, range(seed, seed + 1))


@pytest.mark.soak
def test_w4_no_false_alarm_on_twenty_clean_deletions(tmp_path):
    clean_deletions(tmp_path, range(100, 120))


def clean_deletions(folder: Path, seeds: range) -> None:
    for seed in seeds:
        rng = random.Random(seed)
        home = live_in(consented(folder / f"data{seed}"), backup=rng.random() < 0.5)
        put_bytes(home.layout.dagster_home / "logs" / "event.log", b"2026-10: 3 rows, user@host, a @b.c, x@1.2.3\n")
        put_bytes(home.layout.dagster_home / "binary.bin", rng.randbytes(1 << 20))
        home.withdraw()
        run_erasure(home.deletion())
        result = verify_now(home.deletion())
        assert result["clean"], (seed, result["findings"])


def test_w4_the_scanner_shares_no_code_with_what_deletes():
    parsed = ast.parse(Path(scanner.__file__).read_text())
    imported = {
        name
        for node in ast.walk(parsed)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert not any(name.startswith("relationship_pipeline") for name in imported)


@pytest.mark.parametrize(
    ("text", "is_address"),
    [
        (b"kim.lee@customer.example", True),
        (b"MAILTO:kim+x@mail.customer.co.uk>", True),
        (b"kim%40customer.example", True),
        (b'"kim\\u0040customer.example"', True),
        (b"o'brien@x.ie", True),
        (b"user@host", False),
        (b"pkg@1.2.3", False),
        (b"@decorator.name", False),
    ],
)
def test_what_counts_as_an_address_in_text(text, is_address):
    assert (scanner.TEXT_SHAPE.search(text) is not None) is is_address


@pytest.mark.parametrize(
    ("row", "holds_one"),
    [
        ("1 as number, now() as at, 0.5 as share", False),
        ("'nobody' as name, 1 as number", False),
        ("1 as number, ['x', 'ana@contoso.com'] as names", True),
        ("{'a': 1, 'b': 'ana@contoso.com'} as held", True),
        ("map {'ana@contoso.com': 1} as held", True),
        ("'ana@contoso.com'::blob as bytes", True),
        ("""1 as "ana@contoso.com" """, True),
    ],
)
def test_w4_an_address_is_found_in_any_column_that_can_hold_one(row, holds_one, tmp_path):
    path = tmp_path / "rows.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"copy (select {row}) to '{path}' (format parquet)")
    assert scanner._in_parquet(scanner.Look({}), path) is holds_one
