"""Reading a Microsoft Graph Data Connect export folder, row by row (graph.md 5).

Rows come out as they are in the files, with every key in lower case (v0 writes PascalCase, v1 camelCase) and enum
values such as `microsoft.graph.responseType'accepted'` stripped to the quoted part. Which rows count is not decided
here, except that lines which are no JSON object are rejected and summary rows are set aside.

Readings:

- A data set is known by a folder on the path (`Message_v1`, `BasicDataSet_v0.Message_v1`), in any case; files below
  no such folder, and everything below `metadata`, are not data.
- Calendars: where the export has rows of a CalendarView they alone are the meetings (it unfolds series); else Event
  rows are, each at its own start, a series master included.
- A `.gz` file that ends early raises: half a file is no evidence of anything.
"""

import gzip
import json
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

DATASETS = re.compile(r"(?:.*\.)?(message|inbox|sentitem|event|calendarview|user|mailfolder|groupmembers)_v\d+", re.I)
ENUM = re.compile(r"microsoft\.(?:graph|outlookservices)\.\w+'(\w*)'", re.I)


@dataclass
class Export:
    """The rows of an export by data set, and what was not a row.

    `rows[dataset]` is a list of dicts with lower-case keys, `summaries` the per-user summary rows, `rejected` counts
    lines by (dataset, reason).
    """

    rows: dict[str, list[dict]] = field(default_factory=dict)
    summaries: list[dict] = field(default_factory=list)
    rejected: Counter = field(default_factory=Counter)

    def messages(self):
        """Message rows with their data set's rank: of two rows for one item, Message wins over Inbox and SentItem."""
        for rank, dataset in enumerate(("message", "inbox", "sentitem")):
            for row in self.rows.get(dataset, []):
                yield rank, row

    def events(self):
        return self.rows.get("calendarview") or self.rows.get("event", [])


def read_export(folder):
    """Read every data file below `folder` into an `Export`."""
    folder = Path(folder)
    export = Export()
    for path in sorted(folder.rglob("*")):
        dataset = _dataset_of(path.relative_to(folder))
        if path.is_file() and dataset:
            _read_file(path, dataset, export)
    return export


def _dataset_of(path):
    folders = [part.lower() for part in path.parts[:-1]]
    if "metadata" in folders:
        return None
    names = [match.group(1) for match in map(DATASETS.fullmatch, folders) if match]
    return names[-1] if names else None


def _read_file(path, dataset, export):
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rb") as lines:
        for line in lines:
            if not line.strip():
                continue
            try:
                row = json.loads(line.decode("utf-8-sig"))
            except ValueError:
                export.rejected[dataset, "not_json"] += 1
                continue
            if not isinstance(row, dict):
                export.rejected[dataset, "not_an_object"] += 1
                continue
            row = _fold(row)
            if (row.get("rowinformation") or {}).get("isusersummaryrow"):
                export.summaries.append(row | {"dataset": dataset})
            else:
                export.rows.setdefault(dataset, []).append(row)


def _fold(value):
    if isinstance(value, dict):
        return {key.lower(): _fold(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_fold(item) for item in value]
    if isinstance(value, str):
        match = ENUM.fullmatch(value)
        return match.group(1) if match else value
    return value
