"""Every path below the data directory, once (interfaces.md 5). Nothing else in the package joins path names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

EPOCHS = "epochs"
"""The folder that holds the tree of each epoch."""


@dataclass(frozen=True)
class EpochLayout:
    """The tree of one epoch: everything personal, so that forgetting it is removing one tree."""

    root: Path

    @property
    def epoch(self) -> str:
        return self.root.name

    @property
    def ledger(self) -> Path:
        """SQLite: opt-outs, exclusions, membership snapshots, crawl state."""
        return self.root / "ledger.sqlite"

    @property
    def lake(self) -> Path:
        return self.root / "lake"

    def month(self, table: str, month: str) -> Path:
        """Folder of one month of a monthly table (`email`, `meetings`, `interactions`)."""
        return self.lake / table / f"month={month}"

    def table(self, table: str) -> Path:
        """Folder of a table without months (`directory`, `crm_records`, `planned_meetings`)."""
        return self.lake / table / "current"

    def insight(self, table: str) -> Path:
        """Folder of a 12-month table built for one `as_of`."""
        return self.root / "insights" / table

    @property
    def stage(self) -> Path:
        """Rows as a source read them, before they are a month."""
        return self.root / "stage"

    @property
    def published(self) -> Path:
        return self.root / "published"

    @property
    def tmp(self) -> Path:
        return self.root / "tmp"

    @property
    def spill(self) -> Path:
        return self.root / "spill"

    @property
    def exports(self) -> Path:
        return self.root / "exports"


@dataclass(frozen=True)
class Layout:
    """The data directory."""

    root: Path

    @property
    def settings_file(self) -> Path:
        return self.root / "settings.toml"

    @property
    def control(self) -> Path:
        return self.root / "control"

    @property
    def control_ledger(self) -> Path:
        """SQLite: consent, role grants, deletion state, deadlines."""
        return self.control / "ledger.sqlite"

    @property
    def fence_lock(self) -> Path:
        """flock: shared to commit, exclusive to withdraw."""
        return self.control / "fence.lock"

    def work_lock(self, name: str) -> Path:
        """flock: one holder at a time for one named piece of work (a month's table, publishing, erasing)."""
        return self.control / "locks" / f"{name}.lock"

    def table_lock(self, table: str, month: str | None = None) -> Path:
        """The work lock of one folder of tables: held by whoever writes there, and by the janitor while it sweeps."""
        return self.work_lock(f"{table}-{month}" if month else table)

    @property
    def first_month(self) -> Path:
        return self.control / "first_month"

    @property
    def demo(self) -> Path:
        """Parameters of the demo tenant, where the data directory holds one."""
        return self.control / "demo.json"

    @property
    def optout_key(self) -> Path:
        return self.control / "optout.key"

    @property
    def certificates(self) -> Path:
        return self.control / "certificates"

    @property
    def epochs(self) -> Path:
        return self.root / EPOCHS

    def epoch(self, epoch: str) -> EpochLayout:
        return EpochLayout(self.epochs / epoch)

    @property
    def published(self) -> Path:
        """Symbolic link to the current epoch's `published`."""
        return self.root / "published"

    @property
    def keys(self) -> Path:
        return self.root / "keys"

    @property
    def backups(self) -> Path:
        return self.root / "backups"

    @property
    def dagster_home(self) -> Path:
        return self.root / "dagster"

    @property
    def inbox(self) -> Path:
        return self.root / "inbox"

    @property
    def inbox_data_connect(self) -> Path:
        return self.inbox / "data_connect"

    @property
    def inbox_crm(self) -> Path:
        return self.inbox / "crm"

    @property
    def inbox_opt_outs(self) -> Path:
        return self.inbox / "opt_outs.csv"
