"""THE registry of every path below the data directory: what it holds, whom it is about, how long, and what erases it.

The scanner, the certificates, `docs/privacy.md` and a test read it. A path that matches no store fails the suite and
stops a verification: whoever adds a file kind adds it here first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path

from relationship_pipeline.domain.erasure import ErasureState


class Holds(StrEnum):
    """Personal data class of a store."""

    NOTHING = "nothing personal"
    CONTROL = "the administrator's name in the consent record; keyed hashes of people who opted out by hand"
    KEY = "a key"
    METADATA = "mail and meeting metadata with addresses"
    DERIVED = "numbers and names about people, with addresses"
    RULES = "opt-outs, group memberships, hidden ties, mailbox ids"
    SEALED = "sealed metadata"
    COMPANY_RECORDS = "the company's own records"


@dataclass(frozen=True)
class Store:
    """One kind of path. `pattern`: relative to the data directory; `{epoch}`, `{month}`, `{part}`, `{role}`,
    `{certificate}`, `{backup}`, `{table}` and `{temp}` stand for our own names, `*` for one name, `**` for whatever lies
    below. `erased_in`: the state of a deletion in which it is gone, None where it stays. `has_addresses`: a filled store of
    this kind always shows some to a scan. `scanned`: whether the scan looks into it; the company's own records it only
    counts."""

    name: str
    pattern: str
    holds: Holds
    purpose: str
    retention: str
    erased_in: ErasureState | None = ErasureState.FILES_ERASED
    has_addresses: bool = False
    scanned: bool = True

    @property
    def stays(self) -> bool:
        """Whether a deletion leaves files of this kind standing; of Dagster's storage it takes the epoch's runs only."""
        return self.erased_in in (None, ErasureState.SCRUBBED)

    @cached_property
    def regex(self) -> str:
        """The whole relative path of a file of this kind."""
        parts = re.split(r"(\*\*|\*|\{\w+\})", self.pattern)
        return "".join(_PLACES.get(part) or re.escape(part) for part in parts)


_PLACES = {
    "**": r".+",
    "*": r"[^/]+",
    "{epoch}": r"e\d{4,}-[0-9a-f]{8}",
    "{month}": r"\d{4}-\d{2}",
    "{part}": r"part-[0-9a-f]{16}\.parquet",
    "{table}": r"[a-z_]+",
    "{role}": r"[A-Za-z0-9_.-]+",
    "{certificate}": r"\d{4,}-e\d{4,}-[0-9a-f]{8}-(app|final)\.json",
    "{backup}": r"[0-9TZ]+-[0-9a-f]{8}\.sealed",
    "{temp}": r"\.tmp-[0-9a-f]{16}[^/]*",
}
_TREE = "with the epoch; emails and meetings a month after they left the 12-month window"
_WORK = "while a run needs them; swept at the next start"
_EPOCH = "with the epoch"
_FOR_EVER = "as long as the pipeline is used"

STORES = (
    Store("settings", "settings.toml", Holds.NOTHING, "settings, no secrets", _FOR_EVER, None),
    Store("readme", "README.md", Holds.NOTHING, "says what the folder is", _FOR_EVER, None),
    Store("gitignore", ".gitignore", Holds.NOTHING, "keeps data out of git", _FOR_EVER, None),
    Store(
        "control ledger",
        "control/ledger.sqlite",
        Holds.CONTROL,
        "consent record, role grants, deletions and their deadlines",
        _FOR_EVER,
        None,
    ),
    Store(
        "control journal",
        "control/ledger.sqlite-journal",
        Holds.CONTROL,
        "a write under way",
        "moments",
        None,
    ),
    Store("fence", "control/fence.lock", Holds.NOTHING, "lock", _FOR_EVER, None),
    Store("locks", "control/locks/*.lock", Holds.NOTHING, "locks", _FOR_EVER, None),
    Store("first month", "control/first_month", Holds.NOTHING, "first partition", _FOR_EVER, None),
    Store("demo tenant", "control/demo.json", Holds.NOTHING, "seed and size of the demo's tenant", _FOR_EVER, None),
    Store("control temp", "control/{temp}", Holds.NOTHING, "a write under way", "moments", None),
    Store(
        "opt-out key",
        "control/optout.key",
        Holds.KEY,
        "recognises people who opted out by hand before, when consent is given again (C5)",
        _FOR_EVER,
        None,
    ),
    Store("certificate key", "control/certificate.key", Holds.KEY, "signs certificates", _FOR_EVER, None),
    Store("public key", "control/certificate_key.pub", Holds.NOTHING, "checks certificates", _FOR_EVER, None),
    Store("certificates", "control/certificates/{certificate}", Holds.NOTHING, "proof of deletion", _FOR_EVER, None),
    Store("certificate temp", "control/certificates/{temp}", Holds.NOTHING, "a write under way", "moments", None),
    Store(
        "email",
        "epochs/{epoch}/lake/email/month={month}/{part}",
        Holds.METADATA,
        "one row a copy of an email; what was left out, counted by mailbox",
        _TREE,
        has_addresses=True,
    ),
    Store(
        "meetings",
        "epochs/{epoch}/lake/meetings/month={month}/{part}",
        Holds.METADATA,
        "one row a copy of a meeting; what was left out, counted by mailbox",
        _TREE,
        has_addresses=True,
    ),
    Store(
        "interactions",
        "epochs/{epoch}/lake/interactions/month={month}/{part}",
        Holds.DERIVED,
        "who was in touch with whom, a month",
        _TREE,
        has_addresses=True,
    ),
    Store(
        "other monthly tables",
        "epochs/{epoch}/lake/{table}/month={month}/{part}",
        Holds.DERIVED,
        "derived rows of one month",
        _TREE,
    ),
    Store(
        "directory",
        "epochs/{epoch}/lake/directory/current/{part}",
        Holds.METADATA,
        "users, their addresses, group members",
        _EPOCH,
        has_addresses=True,
    ),
    Store(
        "tables without months",
        "epochs/{epoch}/lake/{table}/current/{part}",
        Holds.METADATA,
        "planned meetings, CRM rows as they were read",
        _EPOCH,
    ),
    Store(
        "manifests",
        "epochs/{epoch}/lake/{table}/*/manifest.json",
        Holds.NOTHING,
        "what a folder of the lake holds: files, hashes, counts",
        _EPOCH,
    ),
    Store("torn files", "epochs/{epoch}/lake/{table}/*/{temp}", Holds.METADATA, "a write under way", _WORK),
    Store(
        "insights",
        "epochs/{epoch}/insights/**",
        Holds.DERIVED,
        "12-month tables",
        "replaced daily",
    ),
    Store(
        "published databases",
        "epochs/{epoch}/published/{role}.duckdb",
        Holds.DERIVED,
        "what a role may read",
        "replaced daily",
        has_addresses=True,
    ),
    Store("reports", "epochs/{epoch}/published/{role}.html", Holds.DERIVED, "report of a role", "replaced daily"),
    Store("published work files", "epochs/{epoch}/published/{temp}", Holds.DERIVED, "a database being built", _WORK),
    Store(
        "epoch ledger",
        "epochs/{epoch}/ledger.sqlite",
        Holds.RULES,
        "opt-outs, snapshots, hidden ties, registers of look-ups and exports",
        _EPOCH,
    ),
    Store("epoch ledger journals", "epochs/{epoch}/ledger.sqlite-*", Holds.RULES, "a write under way", "moments"),
    Store(
        "stage",
        "epochs/{epoch}/stage/**",
        Holds.METADATA,
        "rows as a source read them; of an export file, how many there are by mailbox",
        "from Microsoft Graph: until the month is committed, or read again where a crawl was broken off; of an export: until "
        "the month is closed, and a day where it is read again; the counts as long as the file lies there",
    ),
    Store("work files", "epochs/{epoch}/tmp/**", Holds.METADATA, "work files, the demo's generated tenant", _WORK),
    Store("spill", "epochs/{epoch}/spill/**", Holds.METADATA, "DuckDB's overflow", _WORK),
    Store("exports", "epochs/{epoch}/exports/**", Holds.DERIVED, "files made for a person or analyst", "24 hours"),
    Store(
        "handed-over Exchange export",
        "epochs/{epoch}/inbox_data_connect/**",
        Holds.METADATA,
        "an export put there under a consent that has ended",
        "until the deletion under way ends",
    ),
    Store(
        "published link",
        "published",
        Holds.NOTHING,
        "link to the current one",
        _EPOCH,
        ErasureState.UNSERVED,
    ),
    Store("backup keys", "keys/{epoch}", Holds.KEY, "opens the epoch's backups", _EPOCH, ErasureState.KEY_DESTROYED),
    Store("temp", "{temp}", Holds.NOTHING, "settings or the link being replaced", "moments"),
    Store("Dagster temp", "dagster/{temp}", Holds.NOTHING, "a write under way", "moments"),
    Store("key temp", "keys/{temp}", Holds.KEY, "a write under way", "moments", ErasureState.KEY_DESTROYED),
    Store(
        "backups",
        "backups/{epoch}/{backup}",
        Holds.SEALED,
        "sealed copies of the lake",
        "30 days at most; unreadable from the withdrawal on",
        ErasureState.CLOSED,
    ),
    Store("backup temp", "backups/{epoch}/{temp}", Holds.SEALED, "a backup being sealed", _WORK, ErasureState.CLOSED),
    Store(
        "Dagster storage",
        "dagster/**",
        Holds.NOTHING,
        "runs, events and ticks: months, counts and epoch ids only",
        "the epoch's runs go with it; the deletion's own run stays",
        ErasureState.SCRUBBED,
    ),
    Store(
        "Exchange export",
        "inbox/data_connect/**",
        Holds.METADATA,
        "an Exchange copy that people put there under the consent",
        _EPOCH,
        has_addresses=True,
    ),
    Store(
        "Exchange export link",
        "inbox/data_connect",
        Holds.NOTHING,
        "link to an export elsewhere, which is left alone",
        _EPOCH,
    ),
    Store("CRM link", "inbox/crm", Holds.NOTHING, "link to CRM files elsewhere", "the company's business", None),
    Store(
        "CRM export",
        "inbox/crm/**",
        Holds.COMPANY_RECORDS,
        "the company's own CRM rows",
        "the company's business",
        None,
        scanned=False,
    ),
    Store(
        "opt-out list",
        "inbox/opt_outs.csv",
        Holds.COMPANY_RECORDS,
        "the company's own list of people who opted out",
        "the company's business",
        None,
        scanned=False,
    ),
)


def store_of(relative: str) -> Store | None:
    """The store that a file of this relative path belongs to; None when it is not on the map."""
    return next((store for store in STORES if re.fullmatch(store.regex, relative)), None)


def unregistered(data_dir: Path) -> list[str]:
    """Relative paths below the data directory that are on no store's map: must be empty."""
    return sorted(relative for relative in _files(data_dir) if store_of(relative) is None)


def remaining() -> Iterable[Store]:
    """Stores that a deletion leaves standing."""
    return (store for store in STORES if store.stays)


def _files(data_dir: Path) -> Iterator[str]:
    for path in data_dir.rglob("*"):
        if path.is_symlink() or not path.is_dir():
            yield path.relative_to(data_dir).as_posix()


def as_markdown() -> str:
    """The table of `docs/privacy.md`."""
    lines = ["| path | holds | purpose | kept | goes in |", "|---|---|---|---|---|"]
    lines += [
        f"| `{store.pattern}` | {store.holds} | {store.purpose} | {store.retention} | "
        f"{store.erased_in.value if store.erased_in else 'stays'} |"
        for store in STORES
    ]
    return "\n".join(lines)
