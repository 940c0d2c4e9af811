"""The few errors that a user can cause. Each carries one line that says what happened, where, and what to do.

Their text reaches terminals, Dagster's event log and exit messages, so it never holds personal data: no address, no
name, no mailbox id, no URL.
"""

from __future__ import annotations


class PipelineError(Exception):
    """Something the user can mend. The command line prints one line and exits 1; Dagster shows a failure."""


class ConsentRefused(PipelineError):
    """C4: there is no consent that covers what was asked. The text contains the word `consent`."""


class BadInput(PipelineError):
    """A file, setting or argument that cannot be used; names it."""


class BadLake(PipelineError):
    """A committed file is missing or its hash differs from its manifest's; names the month and table."""


class Refused(PipelineError):
    """A role, lock or state forbids it; says which command would allow it."""


class TryAgain(PipelineError):
    """A passing fault of something outside (throttling, network); the same run may succeed later."""
