"""Sensors and jobs that keep the promise: watch consent, delete after a withdrawal, purge backups, tell of failures.

Their runs hold an epoch id and counts only, and stay when everything else of the epoch goes. The state in the control
ledger is the truth; Dagster is only the motor (reliability.md 3.3).
"""

import dagster as dg

from relationship_pipeline.settings import Settings


def protect_jobs(settings: Settings) -> list[dg.JobDefinition]:
    return []


def protect_sensors(settings: Settings) -> list[dg.SensorDefinition]:
    return []
