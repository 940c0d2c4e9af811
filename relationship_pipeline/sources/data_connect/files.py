"""The files of an export folder: which there are, by dataset, and their lines; small datasets row by row."""

from __future__ import annotations

import codecs
import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import msgspec

from relationship_pipeline.errors import BadInput
from relationship_pipeline.sources.data_connect.shapes import Row, Spelling

MAX_LINE_BYTES = 64 * 2**20
_DATASET = re.compile(r"(?:basicdataset_v\d\.)?([a-z]+)_v\d", re.IGNORECASE)
_CHUNK = 2**20
_MARK = codecs.BOM_UTF8
UNMARKED = "unmarked.json"


@dataclass(frozen=True)
class ExportFile:
    """One file of one dataset, as it lies there now."""

    path: Path
    dataset: str
    size: int
    mtime_ns: int

    @property
    def title(self) -> str:
        """How messages name it: dataset folder and file name, which the source chose: where they hold an address, its
        size instead, for messages reach logs."""
        name = f"{self.path.parent.name}/{self.path.name}"
        return f"a file of {self.dataset} of {self.size} bytes" if "@" in name else name

    @property
    def written_at(self) -> datetime:
        return datetime.fromtimestamp(self.mtime_ns / 1e9, UTC)


def find_datasets(home: Path) -> Mapping[str, list[ExportFile]]:
    """The files by dataset, sorted; raises BadInput when the folder or a required dataset is missing."""
    if not home.is_dir():
        raise BadInput("the export folder does not exist; put an export there or set RELATIONSHIP_DATA_CONNECT_DIR")
    found: dict[str, list[ExportFile]] = {
        name: []
        for name in ("message", "inbox", "sentitem", "event", "calendarview", "user", "mailfolder", "groupmembers")
    }
    for folder in sorted(home.iterdir()):
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


def mail_files(datasets: Mapping[str, list[ExportFile]]) -> list[ExportFile]:
    """Those of the datasets that hold emails."""
    return [*datasets["message"], *datasets["inbox"], *datasets["sentitem"]]


def written_at(datasets: Mapping[str, list[ExportFile]]) -> datetime:
    """As of when the export is: when its youngest file with emails was written."""
    return max(file.written_at for file in mail_files(datasets))


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


def file_identity(file: ExportFile) -> str:
    text = f"{file.dataset}/{file.path}\0{file.size}\0{file.mtime_ns}"
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def literal_glob(path: Path) -> str:
    """The path as a pattern that matches itself only: DuckDB takes every file name as a glob."""
    return re.sub(r"([*?\[])", r"[\1]", str(path))


def begins_with_mark(file: ExportFile) -> bool:
    """Whether a UTF-8 byte order mark stands before the first row: DuckDB would take that row for no JSON."""
    return next(lines(file), b"").startswith(_MARK)


def unmarked(file: ExportFile, folder: Path) -> Path:
    """A plain copy of the file without its mark."""
    copy = folder / UNMARKED
    with copy.open("wb") as out:
        for number, line in enumerate(lines(file)):
            out.write(line.removeprefix(_MARK) if number == 0 else line)
    return copy


def lines(file: ExportFile) -> Iterator[bytes]:
    """The lines of a file, unpacked. Raises BadInput when it ends too early or cannot be unpacked."""
    try:
        opener = gzip.open if is_gzip(file.path) else Path.open
        with closing(opener(file.path, "rb")) as content:
            while line := content.readline(MAX_LINE_BYTES):
                yield line
    except (EOFError, zlib.error, OSError) as error:
        raise unreadable(file, error) from None


R = TypeVar("R", bound=Row)


def rows(file: ExportFile, shape: type[R]) -> Iterator[R]:
    """Rows of a small dataset but for summaries, keys folded to lower case. Raises BadInput for a row of another shape, and at
    the end when a line was no JSON object: a user, folder or member that is missing would be taken for one that does not
    exist (O1)."""
    count = skipped = 0
    for number, line in enumerate(lines(file), 1):
        if not line.strip():
            continue
        count += 1
        try:
            content = json.loads(line.removeprefix(_MARK))
        except ValueError:
            content = None
        if not isinstance(content, dict):
            skipped += 1
            continue
        try:
            row = msgspec.convert(_folded(content), shape, strict=False)
        except msgspec.ValidationError as error:
            raise BadInput(f"line {number} of {file.title} has another shape: {error}; export it again") from None
        if not row.is_summary:
            yield row
    if count and skipped == count:
        raise BadInput(f"{file.title} is not JSON lines; export it again or take it out of the folder")
    if skipped:
        raise BadInput(f"{skipped} of the {count} lines of {file.title} are not JSON; export it again")


def _folded(value: Any) -> Any:
    """Keys in lower case, and of a character that was cut in half (a name shortened within an emoji) what can be stored."""
    if isinstance(value, dict):
        return {str(key).lower(): _folded(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_folded(part) for part in value]
    if isinstance(value, str) and not value.isascii():
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value


def spelling_of(file: ExportFile) -> Spelling:
    """How the file's keys are written; judged by its first full row."""
    for number, line in enumerate(lines(file)):
        try:
            keys = set(json.loads(line))
        except (ValueError, TypeError):
            keys = set()
        if "Id" in keys:
            return Spelling.PASCAL
        if "id" in keys:
            return Spelling.LOWER if all(key == key.lower() for key in keys) else Spelling.CAMEL
        if number > 1000:
            break
    return Spelling.CAMEL


def unreadable(file: ExportFile, error: Exception) -> BadInput:
    why = "it ends too early" if "end of" in str(error).lower() or isinstance(error, EOFError) else "it is damaged"
    return BadInput(
        f"{file.title} cannot be read whole ({why}); copy it again, or set [data_connect] on_bad_file = "
        '"partial" to collect the rest'
    )


def check_whole(file: ExportFile) -> None:
    """Raises BadInput for a packed file that is cut off or whose checksum does not fit (DuckDB 2.0 stops at damage
    within a gzip stream without a word, and knows no checksum), and for a plain one that ends within a row."""
    if is_gzip(file.path):
        try:
            with gzip.open(file.path) as content:
                while content.read(_CHUNK):
                    pass
        except (EOFError, zlib.error, OSError) as error:
            raise unreadable(file, error) from None
        return
    with file.path.open("rb") as content:
        last = _last_line(content, file.size)
    if last.startswith(b"{"):
        try:
            json.loads(last)
        except ValueError:
            raise unreadable(file, EOFError()) from None


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
