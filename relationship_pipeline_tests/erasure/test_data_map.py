"""The data map is whole, and `docs/privacy.md` says what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from relationship_pipeline.domain.erasure import PROMISES
from relationship_pipeline.durable import put_bytes
from relationship_pipeline.erasure.certificate import issue_certificate
from relationship_pipeline.erasure.data_map import STORES, Holds, as_markdown, store_of, unregistered
from relationship_pipeline_tests.conftest import REPOSITORY
from relationship_pipeline_tests.erasure.lived_in import NOW, consented, live_in
from relationship_pipeline_tests.erasure.test_certificate import FACTS

PAGE = REPOSITORY / "docs" / "privacy.md"


def test_every_path_of_a_lived_in_data_directory_is_on_the_map(tmp_path):
    home = live_in(consented(tmp_path / "data"))
    issue_certificate(home.layout, home.epoch, "app", FACTS, NOW)
    assert unregistered(home.layout.root) == []


@pytest.mark.parametrize(
    "stray",
    [
        "notes.txt",
        "control/people.json",
        "epochs/e0001-0123abcd/addresses.txt",
        "epochs/e0001-0123abcd/published/salesperson.duckdb.wal",
        "epochs/e0001-0123abcd/lake/email/month=2026-10/rows.parquet",
        "epochs/e1/ledger.sqlite",
        "control/certificates/readme.txt",
        "inbox/people.csv",
        "keys/other",
    ],
)
def test_a_path_that_is_not_on_the_map_is_found(stray, tmp_path):
    path = tmp_path / stray
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    assert unregistered(tmp_path) == [stray]


def test_personal_stores_all_name_the_state_that_erases_them():
    stays = {store.name for store in STORES if store.erased_in is None and store.holds is not Holds.NOTHING}
    assert stays == {
        "control ledger",
        "control journal",
        "opt-out key",
        "certificate key",
        "CRM export",
        "opt-out list",
    }
    assert all(store.scanned for store in STORES if store.holds is not Holds.COMPANY_RECORDS)


def test_names_and_patterns_are_unique():
    assert len({store.name for store in STORES}) == len({store.pattern for store in STORES}) == len(STORES)
    assert store_of("epochs/e0001-0123abcd/lake/email/month=2026-10/part-0123456789abcdef.parquet").name == "email"


def test_the_privacy_page_shows_the_map_and_the_states_as_they_are():
    page = PAGE.read_text(encoding="utf-8")
    assert as_markdown() in page, "write it anew: python -m relationship_pipeline_tests.erasure.test_data_map"
    assert states_as_markdown() in page


def states_as_markdown() -> str:
    rows = [f"| {number} | `{state.value}` | {promise} |" for number, (state, promise) in enumerate(PROMISES.items())]
    return "\n".join(["| | state | what is true once it is reached |", "|---|---|---|", *rows])


def write_tables(page: Path) -> None:
    """Replace both tables of the page by what the code says."""
    lines: list[str] = []
    tables = {"| | state": states_as_markdown(), "| path | holds": as_markdown()}
    skipping = False
    for line in page.read_text(encoding="utf-8").splitlines():
        fresh = next((text for start, text in tables.items() if line.startswith(start)), None)
        if fresh is not None:
            lines += fresh.splitlines()
            skipping = True
        elif not (skipping and line.startswith("|")):
            skipping = False
            lines.append(line)
    put_bytes(page, ("\n".join(lines) + "\n").encode())


if __name__ == "__main__":
    write_tables(PAGE)
