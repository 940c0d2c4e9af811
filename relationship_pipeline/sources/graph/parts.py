"""Gathers what several units have to store into one part: a file for each page of each mailbox costs more than its rows.

A unit goes on only once its rows are on disk, so a crawl that dies loses what was under way and nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa

from relationship_pipeline.sources.graph.stage import Cursor, Piece, Stage, Unit

SHARE = 4
"""Rows are stored once those of a quarter of the units that are being read wait: more would leave the width unused."""
LINGER = 1.0
"""Seconds that rows wait at most; a page takes the service about as long."""
PART_ROWS = 20_000


class Parts:
    """The writer of one crawl's stage."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._reading = 0
        self._rows = 0
        self._waiting: list[tuple[Piece, asyncio.Future[BaseException | None]]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._write_lock = asyncio.Lock()
        self._writes: set[asyncio.Task[None]] = set()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Around the reading of a unit: somebody who may have rows to store soon."""
        self._reading += 1
        try:
            yield
        finally:
            self._reading -= 1
            self._write_if_due()

    async def put(self, unit: Unit, batches: Sequence[pa.RecordBatch], cursor: Cursor) -> None:
        """Returns once the rows are on disk. Raises what Stage.put does."""
        piece = Piece(unit, batches, cursor)
        turn: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((piece, turn))
        self._rows += piece.rows
        self._write_if_due()
        error = await turn
        if error is not None:
            raise error

    def _write_if_due(self) -> None:
        if self._waiting and (self._rows >= PART_ROWS or len(self._waiting) * SHARE >= self._reading):
            self._write()
        elif self._waiting and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LINGER, self._write)

    def _write(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting, self._rows = self._waiting, [], 0
        write = asyncio.create_task(self._put(waiting))
        self._writes.add(write)
        write.add_done_callback(self._writes.discard)

    async def _put(self, waiting: Sequence[tuple[Piece, asyncio.Future[BaseException | None]]]) -> None:
        error: BaseException | None = None
        try:
            async with self._write_lock:
                await asyncio.to_thread(self._stage.put, [piece for piece, _ in waiting])
        except Exception as failure:
            error = failure
        for _, turn in waiting:
            if not turn.done():
                turn.set_result(error)
