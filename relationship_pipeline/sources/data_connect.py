"""A Microsoft Graph Data Connect export folder as a source (graph.md 5; interfaces.md 2).

The export is not split by month, so each file is read once, by the first month that needs it: DuckDB splits it by
month into Parquet below the stage, keyed by the file's name, size and time; the other months read that. Two processes
may stage at the same time: one splits a file, the other waits for it.
"""

from __future__ import annotations

import codecs
import gzip
import hashlib
import json
import re
import shutil
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from relationship_pipeline.consent.fence import locked
from relationship_pipeline.domain.addresses import X500, domain_of, normalize_address
from relationship_pipeline.domain.folders import INBOX, OTHER, SENT, UNKNOWN, class_of_name
from relationship_pipeline.domain.months import month_of, month_range
from relationship_pipeline.durable import TEMP_PREFIX, adopt_folder, make_folder, put_bytes
from relationship_pipeline.errors import BadInput
from relationship_pipeline.lake.engine import (
    copy_to_parquet,
    create_table,
    is_disk_full,
    keep_build_sides,
    open_engine,
    sql,
    storage_errors,
)
from relationship_pipeline.schemas import DOMAINS, GROUP_MEMBERS, USER_ADDRESSES, USERS
from relationship_pipeline.sources.base import Checkpoint, Directory, Progress, ReadScope, Staged
from relationship_pipeline.sources.zones import WINDOWS_ZONES

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

MODELS = "relationship_pipeline.sources.models"
SPLIT_VERSION = "3"
"""Part of every stage key: changes when the split's rules do, so that nothing staged by older rules is read."""

STAGE_FOLDER = "data_connect"
"""Below the stage: a folder a split, named by its key."""

MAX_LINE_BYTES = 64 * 2**20
SLACK = timedelta(days=1)
"""How far after both the file's time and now a receivedDateTime may lie before it counts as impossible."""
CALENDAR_REACH = timedelta(days=3660)
"""The same for the start of a meeting, which may be planned years ahead."""

_DATASET = re.compile(r"(?:basicdataset_v\d\.)?([a-z]+)_v\d", re.IGNORECASE)
_RECORD = "record.json"
_NO_MONTH = "none"
_CHUNK = 2**20
_MONTH_ROWS = "select * exclude (bucket) from split_rows where bucket = $bucket"

_RECIPIENT = {"emailAddress": {"name": "VARCHAR", "address": "VARCHAR"}}
_ROW_INFORMATION = {
    "isUserSummaryRow": "BOOLEAN",
    "userHasCompleteData": "BOOLEAN",
    "userReturnedNoData": "BOOLEAN",
    "errorInformation": "VARCHAR",
}
_CLOCK = {"dateTime": "VARCHAR", "timeZone": "VARCHAR"}
_ADDED = frozenset({"puser", "rowinformation", "ODataType", "@odata.type", "pObjectId"})
"""Keys that Data Connect adds itself: spelled alike in v0 and v1."""

_MESSAGE: dict[str, Any] = {
    "id": "VARCHAR",
    "internetMessageId": "VARCHAR",
    "conversationId": "VARCHAR",
    "conversationIndex": "VARCHAR",
    "sentDateTime": "VARCHAR",
    "receivedDateTime": "VARCHAR",
    "createdDateTime": "VARCHAR",
    "from": _RECIPIENT,
    "sender": _RECIPIENT,
    "toRecipients": [_RECIPIENT],
    "ccRecipients": [_RECIPIENT],
    "parentFolderId": "VARCHAR",
    "isDraft": "BOOLEAN",
    "meetingMessageType": "VARCHAR",
    "internetMessageHeaders": [{"name": "VARCHAR", "value": "VARCHAR"}],
    "ODataType": "VARCHAR",
    "@odata.type": "VARCHAR",
    "puser": "VARCHAR",
    "rowinformation": _ROW_INFORMATION,
}
_EVENT: dict[str, Any] = {
    "id": "VARCHAR",
    "iCalUId": "VARCHAR",
    "seriesMasterId": "VARCHAR",
    "type": "VARCHAR",
    "organizer": _RECIPIENT,
    "isOrganizer": "BOOLEAN",
    "responseStatus": {"response": "VARCHAR"},
    "attendees": [{"type": "VARCHAR", "status": {"response": "VARCHAR"}} | _RECIPIENT],
    "start": _CLOCK,
    "end": _CLOCK,
    "isAllDay": "BOOLEAN",
    "isCancelled": "BOOLEAN",
    "isDraft": "BOOLEAN",
    "sensitivity": "VARCHAR",
    "puser": "VARCHAR",
    "rowinformation": _ROW_INFORMATION,
}


@dataclass(frozen=True)
class ExportFile:
    """One file of one dataset, as it lies there now."""

    path: Path
    dataset: str
    size: int
    mtime_ns: int

    @property
    def title(self) -> str:
        """How messages name it: dataset folder and file name."""
        return f"{self.path.parent.name}/{self.path.name}"

    @property
    def written_at(self) -> datetime:
        return datetime.fromtimestamp(self.mtime_ns / 1e9, UTC)


class SplitRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Which file was split, and what was found: `rejected` rows by month (or `none`) and reason; by mailbox `rows`,
    `complete` or `incomplete` (summary rows tell the last two)."""

    file: str
    months: list[str]
    rejected: dict[str, dict[str, int]]
    mailboxes: dict[str, str]


class DataConnectSource:
    """Reads an export folder. `opt_out_attribute` names the directory attribute of O2; `free_mail_domains` never count
    as internal (N2); `on_bad_file` is `stop` or `partial` (interfaces.md 2)."""

    name = "data_connect"

    def __init__(
        self,
        folder: Path,
        *,
        spill: Path,
        memory_limit: str | None = None,
        threads: int | None = None,
        on_bad_file: str = "stop",
        opt_out_attribute: str | None = None,
        free_mail_domains: Collection[str] = (),
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._folder = folder
        self._spill = spill
        self._memory_limit = memory_limit
        self._threads = threads
        self._on_bad_file = on_bad_file
        self._opt_out_attribute = opt_out_attribute
        self._free_mail_domains = frozenset(free_mail_domains)
        self._clock = clock

    def read_directory(self, group_ids: Collection[str]) -> Directory:
        """Users and their addresses from User_v1, members of the groups from GroupMembers_v0, nested ones included.

        Raises BadInput when User_v1 is missing, when a file cannot be read, and when groups are asked for that
        GroupMembers_v0 does not list (O1)."""
        import pyarrow as pa

        datasets = self._datasets()
        users = [row for file in datasets["user"] for row in _rows(file)]
        users = [row for row in users if not _is_summary(row)]
        tables = _directory_tables(users, self._opt_out_attribute, self._free_mail_domains)
        members = self._group_members(datasets, group_ids)
        return Directory(
            read_at=self._clock(),
            users=pa.Table.from_pylist(tables.users, schema=USERS),
            addresses=pa.Table.from_pylist(tables.addresses, schema=USER_ADDRESSES),
            group_members=pa.Table.from_pylist(members, schema=GROUP_MEMBERS),
            domains=pa.Table.from_pylist([{"domain": domain} for domain in sorted(tables.domains)], schema=DOMAINS),
        )

    def stage_emails(
        self, month: str, scope: ReadScope, stage: Path, checkpoint: Checkpoint, progress: Progress
    ) -> Staged:
        datasets = self._datasets()
        files = [*datasets["message"], *datasets["inbox"], *datasets["sentitem"]]
        not_provided = () if datasets["mailfolder"] else ("MailFolder_v0",)
        folders = _FolderClasses(datasets["mailfolder"])
        splits, bad = self._split_all(files, stage, folders, checkpoint, progress)
        return _staged(splits, bad, [month], scope, not_provided)

    def stage_meetings(
        self, month: str, scope: ReadScope, stage: Path, checkpoint: Checkpoint, progress: Progress
    ) -> Staged:
        return self._stage_calendar([month], scope, stage, checkpoint, progress)

    def stage_planned_meetings(
        self, start: datetime, end: datetime, scope: ReadScope, stage: Path, checkpoint: Checkpoint, progress: Progress
    ) -> Staged:
        """The months that [start, end) touches, whole; the collection step cuts them to the interval."""
        months = month_range(month_of(start), month_of(end - timedelta(microseconds=1)))
        return self._stage_calendar(months, scope, stage, checkpoint, progress)

    def _stage_calendar(
        self, months: list[str], scope: ReadScope, stage: Path, checkpoint: Checkpoint, progress: Progress
    ) -> Staged:
        datasets = self._datasets()
        files = [*datasets["calendarview"], *datasets["event"]]
        if not files:
            return Staged(files=(), not_provided=("CalendarView_v0", "Event_v1"))
        not_provided = () if datasets["calendarview"] else ("CalendarView_v0",)
        splits, bad = self._split_all(files, stage, None, checkpoint, progress)
        return _staged(splits, bad, months, scope, not_provided)

    def _datasets(self) -> Mapping[str, list[ExportFile]]:
        """The files by dataset, sorted; raises BadInput when the folder or a required dataset is missing."""
        if not self._folder.is_dir():
            raise BadInput("the export folder does not exist; put an export there or set RELATIONSHIP_DATA_CONNECT_DIR")
        found: dict[str, list[ExportFile]] = {
            name: []
            for name in ("message", "inbox", "sentitem", "event", "calendarview", "user", "mailfolder", "groupmembers")
        }
        for folder in sorted(self._folder.iterdir()):
            named = _DATASET.fullmatch(folder.name)
            name = named[1].lower().replace("sentitems", "sentitem") if named else ""
            if folder.is_dir() and name in found:
                found[name] += _files_below(folder, name)
        if not found["user"]:
            raise BadInput("the export has no User_v1; add that dataset to the copy activity and export again")
        if not found["message"]:
            for name, title in (("inbox", "Inbox_v1"), ("sentitem", "SentItem_v1")):
                if not found[name]:
                    raise BadInput(
                        f"the export has neither Message_v1 nor {title}; add Message_v1 to the copy activity "
                        "and export again"
                    )
        return found

    def _split_all(
        self,
        files: list[ExportFile],
        stage: Path,
        folders: _FolderClasses | None,
        checkpoint: Checkpoint,
        progress: Progress,
    ) -> tuple[list[tuple[Path, SplitRecord]], list[str]]:
        """Split every file that is not split yet; returns the splits and the titles of files that cannot be read."""
        home = make_folder(stage / STAGE_FOLDER)
        keys = {str(file.path): _stage_key(file, folders) for file in files}
        _sweep_stale(home, keys)
        splits, bad = [], []
        for number, file in enumerate(files, 1):
            checkpoint()
            target = home / keys[str(file.path)]
            try:
                with locked(_split_lock(target)):
                    if not target.exists():
                        progress(f"reading export file {number} of {len(files)}")
                        self._split(file, target, folders)
            except BadInput as error:
                if self._on_bad_file == "stop":
                    raise
                progress(str(error))
                bad.append(file.title)
                continue
            splits.append((target, msgspec.json.decode((target / _RECORD).read_bytes(), type=SplitRecord)))
        return splits, bad

    def _split(self, file: ExportFile, target: Path, folders: _FolderClasses | None) -> None:
        """One pass over one file. Raises BadInput when it cannot be read whole."""
        shape = _EVENT if folders is None else _MESSAGE
        pascal = _is_pascal_case(file)
        latest = max(self._clock(), file.written_at) + (CALENDAR_REACH if folders is None else SLACK)
        parameters: dict[str, Any] = {
            "file": _literal_glob(file.path),
            "columns": {_spelled(key, pascal): _duckdb_type(value, pascal) for key, value in shape.items()},
            "compression": "gzip" if _is_gzip(file.path) else "none",
            "max_object_size": MAX_LINE_BYTES,
            "latest": latest,
        }
        temp = target.with_name(TEMP_PREFIX + target.name)
        shutil.rmtree(temp, ignore_errors=True)
        try:
            with (
                storage_errors(f"splitting {file.title}"),
                open_engine(self._spill, memory_limit=self._memory_limit, threads=self._threads) as engine,
                ThreadPoolExecutor(1) as checker,
            ):
                keep_build_sides(engine)
                if folders is not None:
                    engine.register("folders", folders.table())
                    default = {"inbox": INBOX, "sentitem": SENT}.get(file.dataset, UNKNOWN)
                    parameters["default_class"] = default
                else:
                    engine.register("windows_zones", _windows_zones())
                model = sql(MODELS, "split_events" if folders is None else "split_messages")
                whole = checker.submit(_check_whole, file)
                if _begins_with_mark(file):
                    parameters |= {"file": _literal_glob(_unmarked(file, make_folder(temp))), "compression": "none"}
                _read_rows(engine, model, parameters, file)
                whole.result()
                (temp / _UNMARKED).unlink(missing_ok=True)
                record = _write_months(engine, make_folder(temp), file)
            if not record.months and not record.mailboxes and set(_reasons(record)) == {"not_json"}:
                raise BadInput(f"{file.title} is not JSON lines; export it again or take it out of the folder")
            put_bytes(temp / _RECORD, msgspec.json.encode(record))
            with storage_errors(f"splitting {file.title}"):
                adopt_folder(temp, target)
        finally:
            shutil.rmtree(temp, ignore_errors=True)

    def _group_members(
        self, datasets: Mapping[str, list[ExportFile]], group_ids: Collection[str]
    ) -> list[dict[str, str]]:
        if not group_ids:
            return []
        if not datasets["groupmembers"]:
            raise BadInput(
                "opt-out or scope groups are set but the export has no GroupMembers_v0; add that dataset to the copy "
                "activity, or take the groups out"
            )
        members: dict[str, set[str]] = {}
        for file in datasets["groupmembers"]:
            for row in _rows(file):
                if _is_summary(row):
                    continue
                group = row.get("groupid") or row.get("pobjectid") or row.get("puser")
                if not group or not row.get("id"):
                    raise BadInput(f"{file.title} has a row without the id of group or member; export it again")
                members.setdefault(str(group).lower(), set()).add(str(row["id"]).lower())
        wanted = {group: group.strip().lower() for group in sorted(set(group_ids))}
        missing = [key for key in wanted.values() if key not in members]
        if missing:
            raise BadInput(
                f"GroupMembers_v0 does not list {len(missing)} of the {len(wanted)} groups that opt-outs or scope "
                "name; export those groups too, or take them out (`relationship-pipeline opt-out list`)"
            )
        return [
            {"group_id": group, "user_id": member}
            for group, key in wanted.items()
            for member in sorted(_all_below(key, members))
        ]


class _FolderClasses:
    """Folder classes by (mailbox, folder id) from MailFolder_v0: well-known folders and all below them.

    The export says names, not which folders are the well-known ones, so a name counts only at the top: right below the
    folder that holds the inbox, or where the parent is not in the export."""

    def __init__(self, files: list[ExportFile]) -> None:
        self._files = files
        self.identity = "-".join(_file_identity(file) for file in files)
        self._table: pa.Table | None = None

    def table(self) -> pa.Table:
        """Columns mailbox, folder_id, folder_class."""
        import pyarrow as pa

        if self._table is None:
            schema = pa.schema([(name, pa.string()) for name in ("mailbox", "folder_id", "folder_class")])
            self._table = pa.Table.from_pylist(list(self._classes()), schema=schema)
        return self._table

    def _classes(self) -> Iterator[dict[str, str]]:
        names: dict[tuple[str, str], tuple[str, str]] = {}
        for file in self._files:
            for row in _rows(file):
                if row.get("puser") and row.get("id"):
                    name = row.get("wellknownname") or row.get("displayname") or ""
                    key = (str(row["puser"]).strip().lower(), str(row["id"]))
                    names[key] = (str(name), str(row.get("parentfolderid") or ""))
        roots = {
            (mailbox, parent)
            for (mailbox, _), (name, parent) in names.items()
            if class_of_name(name) == INBOX and (mailbox, names.get((mailbox, parent), ("", ""))[1]) not in names
        }
        for mailbox, folder_id in names:
            at = folder_id
            for _ in range(_MAX_DEPTH):
                name, parent = names[mailbox, at]
                if (mailbox, parent) in roots or (mailbox, parent) not in names:
                    break
                at = parent
            yield {"mailbox": mailbox, "folder_id": folder_id, "folder_class": class_of_name(name) or OTHER}


_MAX_DEPTH = 300
"""Exchange nests folders 300 deep at most; also ends a walk over folders that name each other as parent."""


@dataclass(frozen=True)
class _DirectoryRows:
    users: list[dict[str, Any]]
    addresses: list[dict[str, str]]
    domains: set[str]


def _directory_tables(
    rows: Iterable[dict[str, Any]], opt_out_attribute: str | None, free_mail: frozenset[str]
) -> _DirectoryRows:
    """Rows of USERS and USER_ADDRESSES, and the internal domains of N2 in file mode."""
    users: dict[str, dict[str, Any]] = {}
    owners: dict[str, str] = {}
    domains: set[str] = set()
    for row in rows:
        user_id = str(row.get("id") or row.get("puser") or "").strip().lower()
        if not user_id:
            continue
        proxies = [str(proxy) for proxy in row.get("proxyaddresses") or []]
        primary = [proxy for proxy in proxies if proxy.startswith("SMTP:")]
        principal = normalize_address(row.get("userprincipalname"))
        is_member = str(row.get("usertype") or "").lower() != "guest"
        texts = (row.get("mail"), *primary, row.get("userprincipalname"), *proxies)
        known = [normalize_address(text) for text in texts]
        addresses = [address for address in known if address and not address.startswith(X500)]
        attributes = row.get("onpremisesextensionattributes") or {}
        attribute = attributes.get((opt_out_attribute or "").lower())
        users[user_id] = {
            "user_id": user_id,
            "display_name": row.get("displayname"),
            "primary_address": addresses[0] if addresses else None,
            "user_principal_name": row.get("userprincipalname"),
            "is_member": is_member,
            "account_enabled": row.get("accountenabled") is not False,
            "mailbox_kind": "user",
            "opt_out_attribute": None if attribute is None else str(attribute),
            "is_gone": False,
        }
        for address in known:
            if address:
                owners.setdefault(address, user_id)
        if is_member:
            own = [principal, *(normalize_address(proxy) for proxy in primary)]
            domains |= {domain_of(address) for address in own if address and not address.startswith(X500)}
    return _DirectoryRows(
        users=[users[user_id] for user_id in sorted(users)],
        addresses=[{"address": address, "user_id": owners[address]} for address in sorted(owners)],
        domains=domains - free_mail,
    )


def _all_below(group: str, members: Mapping[str, set[str]]) -> set[str]:
    """Members of a group and of the groups in it, groups themselves left out."""
    seen, waiting, people = {group}, [group], set()
    while waiting:
        for member in members[waiting.pop()]:
            if member not in members:
                people.add(member)
            elif member not in seen:
                seen.add(member)
                waiting.append(member)
    return people


def _staged(
    splits: list[tuple[Path, SplitRecord]],
    bad: list[str],
    months: list[str],
    scope: ReadScope,
    not_provided: tuple[str, ...],
) -> Staged:
    """What the splits hold of the months. Rejected rows without any usable time are counted in the newest month that
    the export holds, so that they are seen once.

    An export may be of some days only. A month that the lake holds and the export does not is not covered; where the
    export begins within the month, only what was received since its first row counts as read again."""
    files = [target / f"{month}.parquet" for target, record in splits for month in months if month in record.months]
    held = {month for _, record in splits for month in (*record.months, *record.rejected) if month != _NO_MONTH}
    newest = max((month for _, record in splits for month in record.months), default=None)
    is_first = scope.committed is not None and min(held, default=None) == months[0]
    begins = _first_instant(files) if is_first else None
    rejected: Counter[str] = Counter()
    states: dict[str, set[str]] = {}
    for _, record in splits:
        for month in months:
            rejected.update(record.rejected.get(month, {}))
        if newest in months:
            rejected.update(record.rejected.get(_NO_MONTH, {}))
        for mailbox, state in record.mailboxes.items():
            states.setdefault(mailbox, set()).add(state)
    mailboxes = frozenset(scope.mailboxes)
    incomplete = {mailbox for mailbox in mailboxes if "incomplete" in states.get(mailbox, ())}
    has_summaries = any(state - {"rows"} for state in states.values())
    proofs = {"complete"} if has_summaries else {"rows"}
    done = {mailbox for mailbox in mailboxes - incomplete if states.get(mailbox, set()) & proofs}
    missing = mailboxes - done - incomplete
    reasons = [f"export file cannot be read: {title}" for title in bad]
    if incomplete:
        reasons.append(f"the export is incomplete for {len(incomplete)} mailboxes")
    if has_summaries and missing:
        reasons.append(f"the export has no summary of {len(missing)} mailboxes")
    return Staged(
        files=tuple(files),
        rejected=dict(rejected),
        mailboxes={
            "expected": len(mailboxes),
            "done": len(done),
            "missing": len(missing),
            "refused": len(incomplete),
        },
        read_mailboxes=frozenset() if bad else frozenset(done),
        partial_reasons=tuple(reasons),
        not_provided=not_provided,
        read_since=dict.fromkeys(done, begins) if begins is not None and not bad else {},
        is_covered=bool(scope.committed is None or bad or any(month in held for month in months)),
    )


def _first_instant(files: list[Path]) -> datetime | None:
    """The earliest `received_at` or `start_at` in split files, by their statistics."""
    import pyarrow.parquet as pq

    first = []
    for path in files:
        metadata = pq.read_metadata(path)
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            columns = (group.column(position) for position in range(group.num_columns))
            first += [
                column.statistics.min
                for column in columns
                if column.path_in_schema in ("received_at", "start_at") and column.is_stats_set
            ]
    return min(first, default=None)


def _windows_zones() -> pa.Table:
    """Columns name (lower case), zone (IANA)."""
    import pyarrow as pa

    names, zones = list(WINDOWS_ZONES), list(WINDOWS_ZONES.values())
    return pa.table([names, zones], schema=pa.schema([("name", pa.string()), ("zone", pa.string())]))


def _split_lock(split: Path) -> Path:
    """flock of one split: held by whoever makes or removes it (the janitor too)."""
    return split.with_name(f"{split.name}.lock")


def _sweep_stale(home: Path, keys: Mapping[str, str]) -> None:
    """Remove splits whose export file is gone or another one by now; `keys` are the present ones by file."""
    for split in sorted(home.iterdir()):
        record_file = split / _RECORD
        if split.name.startswith(TEMP_PREFIX) or not record_file.is_file():
            continue
        file = msgspec.json.decode(record_file.read_bytes(), type=SplitRecord).file
        if keys.get(file, split.name) != split.name or not Path(file).exists():
            with suppress(BlockingIOError), locked(_split_lock(split), wait=False):
                shutil.rmtree(split, ignore_errors=True)


def _files_below(folder: Path, dataset: str) -> list[ExportFile]:
    """All files of a dataset folder but `metadata/` and those a copy tool hides or marks (`_SUCCESS`, `.crc`)."""
    files = []
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if "metadata" in (part.lower() for part in parts[:-1]) or any(part[0] in "._" for part in parts):
            continue
        if path.is_file():
            stat = path.stat()
            files.append(ExportFile(path, dataset, stat.st_size, stat.st_mtime_ns))
    return files


def _file_identity(file: ExportFile) -> str:
    text = f"{file.dataset}/{file.path}\0{file.size}\0{file.mtime_ns}"
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _stage_key(file: ExportFile, folders: _FolderClasses | None) -> str:
    text = f"{SPLIT_VERSION}\0{_file_identity(file)}\0{folders.identity if folders else ''}"
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


_MARK = codecs.BOM_UTF8
_UNMARKED = "unmarked.json"


def _begins_with_mark(file: ExportFile) -> bool:
    """Whether a UTF-8 byte order mark stands before the first row: DuckDB would take that row for no JSON."""
    return next(_lines(file), b"").startswith(_MARK)


def _unmarked(file: ExportFile, folder: Path) -> Path:
    """A plain copy of the file without its mark."""
    copy = folder / _UNMARKED
    with copy.open("wb") as out:
        for number, line in enumerate(_lines(file)):
            out.write(line.removeprefix(_MARK) if number == 0 else line)
    return copy


def _lines(file: ExportFile) -> Iterator[bytes]:
    """The lines of a file, unpacked. Raises BadInput when it ends too early or cannot be unpacked."""
    try:
        opener = gzip.open if _is_gzip(file.path) else Path.open
        with closing(opener(file.path, "rb")) as content:
            while line := content.readline(MAX_LINE_BYTES):
                yield line
    except (EOFError, zlib.error, OSError) as error:
        raise _unreadable(file, error) from None


def _rows(file: ExportFile) -> Iterator[dict[str, Any]]:
    """Rows of a small dataset with keys in lower case, all the way down. Raises BadInput at the end when a line was no
    JSON object: a user, folder or member that is missing would be taken for one that does not exist (O1)."""
    count = skipped = 0
    for line in _lines(file):
        if not line.strip():
            continue
        count += 1
        try:
            row = json.loads(line.removeprefix(_MARK))
        except ValueError:
            row = None
        if isinstance(row, dict):
            yield _folded(row)
        else:
            skipped += 1
    if count and skipped == count:
        raise BadInput(f"{file.title} is not JSON lines; export it again or take it out of the folder")
    if skipped:
        raise BadInput(f"{skipped} of the {count} lines of {file.title} are not JSON; export it again")


def _folded(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key).lower(): _folded(part) for key, part in value.items()}
    return value


def _is_summary(row: Mapping[str, Any]) -> bool:
    return bool((row.get("rowinformation") or {}).get("isusersummaryrow"))


def _is_pascal_case(file: ExportFile) -> bool:
    """Whether the file's keys are written as in v0 exports (`ReceivedDateTime`); judged by its first full row."""
    for number, line in enumerate(_lines(file)):
        try:
            keys = set(json.loads(line))
        except (ValueError, TypeError):
            keys = set()
        if keys & {"Id", "id"}:
            return "Id" in keys
        if number > 1000:
            break
    return False


def _spelled(key: str, pascal: bool) -> str:
    return key if key in _ADDED or not pascal else key[0].upper() + key[1:]


def _duckdb_type(shape: Any, pascal: bool) -> str:
    if isinstance(shape, str):
        return shape
    if isinstance(shape, list):
        return f"{_duckdb_type(shape[0], pascal)}[]"
    pascal = pascal and shape is not _ROW_INFORMATION
    fields = ", ".join(f'"{_spelled(key, pascal)}" {_duckdb_type(value, pascal)}' for key, value in shape.items())
    return f"STRUCT({fields})"


def _literal_glob(path: Path) -> str:
    """The path as a pattern that matches itself only: DuckDB takes every file name as a glob."""
    return re.sub(r"([*?\[])", r"[\1]", str(path))


def _read_rows(engine: duckdb.DuckDBPyConnection, model: str, parameters: dict[str, Any], file: ExportFile) -> None:
    """Read the file into the table `split_rows`. Raises BadInput when it cannot be read whole."""
    import duckdb

    try:
        create_table(engine, "split_rows", model, parameters)
    except (duckdb.IOException, duckdb.InvalidInputException) as error:
        if is_disk_full(error):
            raise
        raise _unreadable(file, error) from None


def _unreadable(file: ExportFile, error: Exception) -> BadInput:
    why = "it ends too early" if "end of" in str(error).lower() or isinstance(error, EOFError) else "it is damaged"
    return BadInput(
        f"{file.title} cannot be read whole ({why}); copy it again, or set [data_connect] on_bad_file = "
        '"partial" to collect the rest'
    )


def _check_whole(file: ExportFile) -> None:
    """Raises BadInput for a packed file that is cut off or whose checksum does not fit (DuckDB 2.0 stops at damage
    within a gzip stream without a word, and knows no checksum), and for a plain one that ends within a row."""
    if _is_gzip(file.path):
        try:
            with gzip.open(file.path) as content:
                while content.read(_CHUNK):
                    pass
        except (EOFError, zlib.error, OSError) as error:
            raise _unreadable(file, error) from None
        return
    with file.path.open("rb") as content:
        last = _last_line(content, file.size)
    if last.startswith(b"{"):
        try:
            json.loads(last)
        except ValueError:
            raise _unreadable(file, EOFError()) from None


def _last_line(content: BinaryIO, size: int) -> bytes:
    """What stands after the last line break of a file, stripped; at most MAX_LINE_BYTES of it. Most lines are short, so
    the end is read in steps."""
    most = min(size, MAX_LINE_BYTES)
    reach = min(most, _CHUNK)
    while True:
        content.seek(size - reach)
        _, line_break, tail = content.read().rpartition(b"\n")
        if line_break or reach == most:
            return tail.strip()
        reach = min(most, reach * 2)


def _write_months(engine: duckdb.DuckDBPyConnection, folder: Path, file: ExportFile) -> SplitRecord:
    """Write `split_rows` month by month below the folder, and sum up what has no month."""
    months: list[str] = []
    rejected: dict[str, dict[str, int]] = {}
    rows = engine.table("split_rows")
    for bucket, count in sorted(rows.aggregate("bucket, count(*)").fetchall()):
        kind, _, detail = bucket.partition(".")
        if kind == "rejected":
            reason, _, month = detail.rpartition(".")
            rejected.setdefault(month, {})[reason] = count
        elif kind != "summary":
            copy_to_parquet(engine, _MONTH_ROWS, folder / f"{bucket}.parquet", {"bucket": bucket}, "snappy")
            months.append(bucket)
    mailboxes = engine.execute(sql(MODELS, "split_mailboxes")).fetchall()
    return SplitRecord(
        file=str(file.path),
        months=months,
        rejected=rejected,
        mailboxes=dict(mailboxes),
    )


def _reasons(record: SplitRecord) -> Iterator[str]:
    for reasons in record.rejected.values():
        yield from reasons
