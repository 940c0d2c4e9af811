"""What stands around every asset body: Dagster's home is ours, and no exception text that could name a person reaches
Dagster's storage (dagster.md 4.3: exceptions are the usual leak)."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import dagster as dg

from relationship_pipeline.errors import PipelineError, TryAgain
from relationship_pipeline.settings import Settings

T = TypeVar("T")


def guarded(settings: Settings, work: Callable[[], T]) -> T:
    """Run the work. A PipelineError becomes a failure with its one line, retried only if it is a TryAgain; any other
    exception becomes a failure that names its type and place in our code but not its text, and is not retried."""
    check_home(settings)
    failure: dg.Failure
    try:
        return work()
    except dg.Failure as error:
        failure = error
    except Exception as error:
        failure = dg.Failure(one_line(error), allow_retries=isinstance(error, TryAgain))
    raise failure


def one_line(error: Exception) -> str:
    """What may be said of an error where Dagster keeps it: our own errors' line, else only type and place."""
    if isinstance(error, PipelineError):
        return str(error)
    return f"unexpected {type(error).__name__} at {_place(error)}; its text, which could name people, is withheld"


def check_home(settings: Settings) -> None:
    """Dagster's storage is part of what a withdrawal scrubs, so runs with another home refuse in one line."""
    home, expected = os.environ.get("DAGSTER_HOME"), settings.layout.dagster_home
    if home is None or Path(home).resolve() != expected.resolve():
        raise dg.Failure(
            "DAGSTER_HOME is not this data directory's: set DAGSTER_HOME to the `dagster` folder of the data directory, "
            "or start with `relationship-pipeline dev`",
            allow_retries=False,
        )


def _place(error: BaseException) -> str:
    """Module and line of the innermost frame that is ours."""
    ours = [frame for frame in traceback.extract_tb(error.__traceback__) if "relationship_pipeline" in frame.filename]
    return f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "an unknown place"
