"""Other ways to do the same work, each in a process of its own: `python -m benchmarks.peers PEER …`.

Those that need the extra `benchmarks` import it here, so that whatever is missing is one line.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

MESSAGE_COLUMNS = {
    "id": "VARCHAR",
    "internetMessageId": "VARCHAR",
    "conversationId": "VARCHAR",
    "conversationIndex": "VARCHAR",
    "sentDateTime": "VARCHAR",
    "receivedDateTime": "VARCHAR",
    "createdDateTime": "VARCHAR",
    "from": "STRUCT(emailAddress STRUCT(name VARCHAR, address VARCHAR))",
    "sender": "STRUCT(emailAddress STRUCT(name VARCHAR, address VARCHAR))",
    "toRecipients": "STRUCT(emailAddress STRUCT(name VARCHAR, address VARCHAR))[]",
    "ccRecipients": "STRUCT(emailAddress STRUCT(name VARCHAR, address VARCHAR))[]",
    "parentFolderId": "VARCHAR",
    "isDraft": "BOOLEAN",
    "meetingMessageType": "VARCHAR",
    "internetMessageHeaders": "STRUCT(name VARCHAR, value VARCHAR)[]",
    "puser": "VARCHAR",
    "rowinformation": (
        "STRUCT(isUserSummaryRow BOOLEAN, userHasCompleteData BOOLEAN, userReturnedNoData BOOLEAN, errorInformation VARCHAR)"
    ),
}
"""The columns that the project reads of Message_v1."""


def duckdb_read_json(folder: str) -> dict[str, Any]:
    """DuckDB reads every column of every row and throws them away: what no import of these files can go below."""
    import duckdb

    with duckdb.connect(config={"preserve_insertion_order": "false"}) as connection:
        counts = connection.execute(
            "select count(columns(*)), count(*) from read_json($files, format = 'newline_delimited', columns = $columns)",
            {"files": f"{folder}/Message_v1/*", "columns": MESSAGE_COLUMNS},
        ).fetchone()
    return {"rows": counts[-1] if counts else 0}


def duckdb_load_json(folder: str) -> dict[str, Any]:
    """The same into a table of a database file, as somebody would who wants to query it."""
    import duckdb

    database = Path(folder).parent / "peer.duckdb"
    database.unlink(missing_ok=True)
    try:
        with duckdb.connect(str(database), config={"preserve_insertion_order": "false"}) as connection:
            connection.execute(
                "create table message as "
                "select * from read_json($files, format = 'newline_delimited', columns = $columns)",
                {"files": f"{folder}/Message_v1/*", "columns": MESSAGE_COLUMNS},
            )
    finally:
        database.unlink(missing_ok=True)
    return {}


PEERS: dict[str, Callable[..., dict[str, Any]]] = {
    "duckdb_read_json": duckdb_read_json,
    "duckdb_load_json": duckdb_load_json,
}


def main() -> None:
    name, *arguments = sys.argv[1:]
    try:
        answer = PEERS[name](*arguments)
    except ModuleNotFoundError as error:
        print(f"{error.name} is not installed; run `pip install -e .[benchmarks]`", file=sys.stderr)
        sys.exit(1)
    print(json.dumps(answer, default=str))


if __name__ == "__main__":
    main()
