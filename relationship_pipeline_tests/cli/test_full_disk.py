"""A full disk is one line that says so, whatever met it first, and never the advice to restore a file that is whole."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from relationship_pipeline.consent.epoch_ledger import epoch_transaction
from relationship_pipeline.consent.ledger import ControlLedger
from relationship_pipeline.errors import PipelineError
from relationship_pipeline.layout import Layout
from relationship_pipeline_tests.command import PROGRAM
from relationship_pipeline_tests.erasure.lived_in import consented

MORE_THAN_FITS = "create table large as select randomblob(100000) as content"


def nothing_can_be_written() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def test_a_command_that_meets_a_full_disk_says_so_in_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "init"],
        capture_output=True,
        text=True,
        env={**os.environ, "RELATIONSHIP_DATA_DIR": str(tmp_path / "data"), "PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=nothing_can_be_written,
        check=False,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: the disk is full")


def test_a_ledger_on_a_full_disk_is_not_called_damaged(tmp_path: Path) -> None:
    home = consented(tmp_path / "data")
    with pytest.raises(PipelineError, match="the disk is full"), epoch_transaction(home.tree.ledger) as connection:
        connection.execute("pragma max_page_count = 1")
        connection.execute(MORE_THAN_FITS)
    with (
        pytest.raises(PipelineError, match="the disk is full"),
        ControlLedger(Layout(home.layout.root)).connect() as control,
    ):
        control.execute("pragma max_page_count = 1")
        control.execute(MORE_THAN_FITS)
    assert ControlLedger(home.layout).current() is not None
