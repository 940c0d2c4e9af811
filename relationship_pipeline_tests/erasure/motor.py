"""One turn of a motor, for the kill tests: runs in a forked process whose environment names the data directory, the epoch
and the state in whose work it is to die."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from relationship_pipeline.consent.fence import locked
from relationship_pipeline.consent.ledger import ControlLedger
from relationship_pipeline.domain.erasure import Erasure, ErasureState
from relationship_pipeline.erasure import run, steps
from relationship_pipeline.errors import Refused
from relationship_pipeline.layout import Layout
from relationship_pipeline_tests.erasure.lived_in import Home


def carry_on() -> None:
    """`ERASE_KILL` is `STATE:before` or `STATE:after`: die before the state's work, or after it and before it is noted."""
    home = Home(Layout(Path(os.environ["RELATIONSHIP_DATA_DIR"])), os.environ["ERASE_EPOCH"])
    state, _, when = os.environ.get("ERASE_KILL", "").partition(":")
    if state:
        chosen = ErasureState(state)
        steps.STEPS = run.STEPS = {**steps.STEPS, chosen: _dying(steps.STEPS[chosen], when)}
    run.run_erasure(home.deletion())


def carry_to_end(deletion: steps.Deletion) -> Erasure:
    """What a watchdog does: go on as soon as the lock is free. A killed motor's may be held, for a moment, by a scanner
    that it was about to start: a fork shares its parent's locks until it execs."""
    for _ in range(10):
        with suppress(Refused):
            return run.run_erasure(deletion)
        with locked(deletion.layout.work_lock("erase")):
            pass
    return run.run_erasure(deletion)


def _dying(work: Callable[[steps.Deletion], steps.Facts], when: str) -> Callable[[steps.Deletion], steps.Facts]:
    def die(deletion: steps.Deletion) -> steps.Facts:
        if when == "after":
            work(deletion)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("alive")

    return die


def is_gone(home: Home) -> bool:
    """No tree, key, sealed backup or link of the epoch is left."""
    layout = home.layout
    return not (
        list(layout.epochs.iterdir())
        or home.store.key_path(home.epoch).exists()
        or home.store.sealed(home.epoch)
        or layout.published.is_symlink()
        or layout.inbox_data_connect.exists()
        or ControlLedger(layout).live_epochs()
    )
