"""Parts of a crawl's stage: shared by units, read back by unit, and never a cursor without its rows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from relationship_pipeline.errors import ConsentRefused
from relationship_pipeline.schemas import STAGED_EMAIL
from relationship_pipeline.sources.graph.parts import LINGER, Parts
from relationship_pipeline.sources.graph.stage import Cursor, Piece, Stage, Unit

START, END = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)


def unit(mailbox: str) -> Unit:
    return Unit(mailbox, "receivedDateTime", START, END)


def batch(mailbox: str, *items: str) -> pa.RecordBatch:
    rows = [{"mailbox": mailbox, "item_id": item, "received_at": START} for item in items]
    return pa.RecordBatch.from_pylist(rows, schema=STAGED_EMAIL)


def cursor(*, done: bool = False, walked: int = 1) -> Cursor:
    return Cursor(position="2026-03-05T00:00:00Z", done=done, walked=walked)


def stage(folder: Path, checkpoint: Callable[[], None] = lambda: None) -> Stage:
    return Stage(folder / "stage", STAGED_EMAIL, checkpoint)


async def store(parts: Parts, mailbox: str, *items: str, done: bool = True) -> None:
    with parts.reading():
        await asyncio.sleep(0)  # the others begin to read
        await parts.put(unit(mailbox), [batch(mailbox, *items)], cursor(done=done, walked=len(items)))


def test_units_that_are_read_side_by_side_share_parts(tmp_path: Path) -> None:
    names = "abcdefghijklmnopqrst"

    async def crawl() -> None:
        await asyncio.gather(*(store(parts, name, f"{name}1", f"{name}2") for name in names))

    staged = stage(tmp_path)
    parts = Parts(staged)
    asyncio.run(crawl())
    assert len(staged.parts) <= len(names) / 2
    assert all(staged.cursor(unit(name)) == cursor(done=True, walked=2) for name in names)
    assert sum(pq.read_metadata(path).num_rows for path in staged.parts) == 2 * len(names)


def test_a_unit_with_no_company_waits_for_none(tmp_path: Path) -> None:
    async def crawl() -> float:
        before = asyncio.get_running_loop().time()
        await store(parts, "a", "1")
        return asyncio.get_running_loop().time() - before

    parts = Parts(stage(tmp_path))
    assert min(asyncio.run(crawl()) for _ in range(3)) < LINGER


def test_rows_of_a_unit_that_reads_on_are_stored_though_others_have_none_yet(tmp_path: Path) -> None:
    async def crawl() -> None:
        with ExitStack() as others:
            for _ in range(9):
                others.enter_context(parts.reading())
            await store(parts, "a", "1", done=False)
            assert staged.cursor(unit("a")) == cursor()

    staged = stage(tmp_path)
    parts = Parts(staged)
    asyncio.run(crawl())


def test_a_crawl_taken_up_again_knows_what_each_unit_has(tmp_path: Path) -> None:
    async def crawl() -> None:
        await asyncio.gather(store(parts, "a", "a1", "a2", done=False), store(parts, "b", "b1"))
        await store(parts, "a", "a3", done=False)

    parts = Parts(stage(tmp_path))
    asyncio.run(crawl())
    again = stage(tmp_path)
    assert sorted(again.item_ids(unit("a"))) == ["a1", "a2", "a3"]
    assert again.cursor(unit("a")) == cursor() and again.cursor(unit("b")) == cursor(done=True)
    assert again.cursor(unit("c")) is None


@pytest.mark.parametrize(
    ("wanted", "kept"),
    [
        ([unit("a"), unit("b"), unit("c")], True),
        ([unit("a")], False),
        ([unit("a"), Unit("b", "receivedDateTime", START, START)], False),
    ],
)
def test_parts_of_another_window_or_mailbox_are_dropped_and_not_delivered(
    tmp_path: Path, wanted: list[Unit], kept: bool
) -> None:
    async def crawl() -> None:
        parts = Parts(stage(tmp_path))
        await asyncio.gather(store(parts, "a", "a1"), store(parts, "b", "b1", done=False))

    asyncio.run(crawl())
    again = stage(tmp_path)
    again.keep_only(wanted)
    assert bool(again.parts) is bool(again.cursor(unit("a"))) is bool(stage(tmp_path).parts) is kept


def test_b8_killed_while_parts_are_dropped_no_unit_is_done_without_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    staged = stage(tmp_path)
    staged.put(
        [Piece(unit("a"), [batch("a", "a1", "a2")], cursor()), Piece(unit("b"), [batch("b", "b1")], cursor(done=True))]
    )
    staged.put([Piece(unit("a"), [batch("a", "a3")], cursor(done=True, walked=3))])
    again = stage(tmp_path)
    unlink = Path.unlink

    def unlink_and_die(path: Path, missing_ok: bool = False) -> None:
        unlink(path, missing_ok)
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(Path, "unlink", unlink_and_die)
        with pytest.raises(KeyboardInterrupt):
            again.keep_only([unit("a")])
    left = stage(tmp_path)
    assert left.cursor(unit("a")) == cursor() and list(left.item_ids(unit("a"))) == ["a1", "a2"]


def test_c4_without_consent_nobody_s_rows_are_stored(tmp_path: Path) -> None:
    def refuse() -> None:
        raise ConsentRefused("consent is gone")

    async def crawl() -> list[BaseException | None]:
        return await asyncio.gather(*(store(parts, name, "1") for name in "abc"), return_exceptions=True)

    staged = stage(tmp_path, refuse)
    parts = Parts(staged)
    assert [type(error) for error in asyncio.run(crawl())] == [ConsentRefused] * 3
    assert staged.parts == [] and stage(tmp_path).parts == []
    with pytest.raises(ConsentRefused):
        asyncio.run(store(parts, "a", "1"))
