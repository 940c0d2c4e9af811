"""A user's mistake is one line that says what to do, exit 1, or wrong usage, exit 2; never a traceback."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from relationship_pipeline.layout import Layout
from relationship_pipeline_tests.command import refuse, run, succeed
from relationship_pipeline_tests.end_to_end.small_company import write_company
from relationship_pipeline_tests.factories import user, write_export
from relationship_pipeline_tests.operations.company import collect_and_publish, consented

EXPORT = {"RELATIONSHIP_SOURCE": "data_connect"}


def test_c4_backfill_without_consent_refuses_and_reads_nothing(layout: Layout) -> None:
    assert "consent" in refuse("backfill", **EXPORT)
    assert not layout.epochs.exists()


def test_c4_refresh_without_consent_refuses(layout: Layout) -> None:
    assert "consent" in refuse("refresh", **EXPORT)


@pytest.mark.parametrize(
    "arguments",
    [
        ["backfil"],
        ["backfill", "--from", "2026-13"],
        ["backfill", "--from", "2026-05", "--to", "2026-04"],
        ["consent", "provide"],
        ["consent", "provide", "--admin", "x", "--level", "half"],
        ["opt-out", "everyone"],
        ["query"],
        ["role", "grant", "salesperson", "everything"],
        ["demo", "--users", "1"],
    ],
)
def test_wrong_usage_exits_2(arguments: list[str]) -> None:
    succeed("consent", "provide", "--admin", "someone", **EXPORT)
    done = run(*arguments, **EXPORT)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr


def test_o5_a_domain_is_kept_as_addresses_have_it(layout: Layout) -> None:
    succeed("consent", "provide", "--admin", "someone", **EXPORT)
    succeed("opt-out", "domain", "@Müller.example", **EXPORT)
    assert "xn--mller-kva.example" in succeed("opt-out", "list", **EXPORT)
    assert "is not a domain" in refuse("opt-out", "domain", "*.example.com", **EXPORT)
    succeed("opt-in", "domain", "müller.example", **EXPORT)


def test_b1_a_month_outside_the_window_is_named(layout: Layout) -> None:
    succeed("consent", "provide", "--admin", "someone", RELATIONSHIP_AS_OF="2002-02-01T00:00:00Z", **EXPORT)
    line = refuse(
        "backfill", "--from", "2000-01", "--to", "2000-02", RELATIONSHIP_AS_OF="2002-02-01T00:00:00Z", **EXPORT
    )
    assert "outside the collection window" in line
    assert "2000-01" in line


def test_a_missing_dataset_folder_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "export"
    write_export(folder, User_v1=[user("ada@contoso.com")])
    environment = {**EXPORT, "RELATIONSHIP_DATA_CONNECT_DIR": str(folder)}
    succeed("consent", "provide", "--admin", "someone", **environment)
    assert "Message_v1" in refuse("backfill", **environment)


def test_a_file_that_fails_every_month_is_named_once_and_nothing_is_published(layout: Layout, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    write_export(folder, User_v1=[user("ada@contoso.com")])
    (folder / "Message_v1").mkdir()
    (folder / "Message_v1" / "mail.json.gz").write_bytes(b"\x1f\x8b\x08 cut off")
    environment = {
        **EXPORT,
        "RELATIONSHIP_DATA_CONNECT_DIR": str(folder),
        "RELATIONSHIP_AS_OF": "2026-03-01T00:00:00Z",
    }
    succeed("consent", "provide", "--admin", "someone", **environment)
    done = run("backfill", "--from", "2026-01", "--to", "2026-02", **environment)
    assert done.returncode == 1
    assert "0 of 2 months landed; insights not published" in done.stdout
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith("error: 2026-01, 2026-02: Message_v1/mail.json.gz cannot be read whole")
    assert line.count("mail.json.gz") == 1


def test_a_missing_export_folder_is_named(tmp_path: Path) -> None:
    environment = {**EXPORT, "RELATIONSHIP_DATA_CONNECT_DIR": str(tmp_path / "nowhere")}
    succeed("consent", "provide", "--admin", "someone", **environment)
    assert "the export folder does not exist" in refuse("backfill", **environment)


def test_an_unknown_setting_is_named() -> None:
    assert "RELATIONSHIP_BATCHCAP" in refuse("consent", "status", RELATIONSHIP_BATCHCAP="5")


def test_init_writes_settings_that_load(layout: Layout) -> None:
    succeed("init")
    assert layout.settings_file.read_text().count("\n") > 30
    succeed("consent", "status")
    assert "stays as it is" in succeed("init")
    layout.settings_file.write_text("souce = 'graph'\n")
    assert "init --print" in refuse("consent", "status")
    assert "# first_month" in succeed("init", "--print")


@pytest.mark.parametrize("command", ["backfill", "refresh"])
def test_an_as_of_before_the_directory_s_first_month_is_said_in_one_line(command: str) -> None:
    succeed("init")
    past = {**EXPORT, "RELATIONSHIP_AS_OF": "2002-01-31T00:00:00Z"}
    succeed("consent", "provide", "--admin", "someone", **past)
    assert "control/first_month" in refuse(command, **past)


def test_b1_a_first_month_within_the_window_is_where_the_backfill_begins(tmp_path: Path) -> None:
    environment = {**write_company(tmp_path), "RELATIONSHIP_FIRST_MONTH": "2026-03"}
    succeed("consent", "provide", "--admin", "someone", **environment)
    assert "2026-02 is outside" in refuse("backfill", "--from", "2026-02", **environment)
    backfilled = run("backfill", **environment)
    assert "month 2026-03 landed" in backfilled.stderr, backfilled.stderr
    assert "2026-02" not in backfilled.stderr


def test_dev_on_a_port_that_another_program_holds_is_refused() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        assert f"port {port} cannot be used" in refuse("dev", "--port", port, **EXPORT)


@pytest.mark.parametrize("text", ["ada@contoso.com,2026-01-01\n", "nonsense\n"])
def test_o2_a_file_of_opt_outs_without_its_header_stops_the_run(tmp_path: Path, text: str) -> None:
    """Unknown is never nobody."""
    environment = write_company(tmp_path)
    succeed("consent", "provide", "--admin", "someone", **environment)
    inbox = tmp_path / "data" / "inbox"
    (inbox / "opt_outs.csv").write_text(text)
    assert "opt_outs.csv has no header" in refuse("backfill", "--from", "2026-04", **environment)


def test_files_are_ours_alone(layout: Layout) -> None:
    succeed("consent", "provide", "--admin", "someone", **EXPORT)
    wide = [path for path in layout.root.rglob("*") if not path.is_symlink() and path.stat().st_mode & 0o077]
    assert wide == []


def test_w5_erasing_the_mailbox_of_somebody_outside_is_refused_and_names_the_scope_that_works(tmp_path: Path) -> None:
    settings = write_company(tmp_path)
    collect_and_publish(consented(tmp_path / "export", tmp_path / "data"), ["2026-04"])
    assert "--scope everywhere" in refuse("erase", "person", "dora@northwind.example", **settings)
    assert "nobody is opted out" in succeed("opt-out", "list", **settings), "a refused request leaves nothing behind"
    assert "COMPLETED" in succeed("erase", "person", "<Dora@Northwind.example>", "--scope", "everywhere", **settings)
    assert json.loads(succeed("export", "person", "mailto:dora@northwind.example", **settings))["held"].keys() == {
        "ledger"
    }
    assert "not one address" in refuse("export", "person", "dora", **settings)
