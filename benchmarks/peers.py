"""Other ways to do the same work, each in a process of its own: `python -m benchmarks.peers PEER …`.

Those that need the extra `benchmarks` import it here, so that whatever is missing is one line.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
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


def dlt_graph(job_file: str) -> dict[str, Any]:
    """The pages of some mailboxes by a dlt REST pipeline into DuckDB, recipients as child tables, as dlt does it."""
    import dlt
    from dlt.sources.helpers import requests
    from dlt.sources.helpers.rest_client import RESTClient
    from dlt.sources.helpers.rest_client.auth import BearerTokenAuth
    from dlt.sources.helpers.rest_client.paginators import JSONLinkPaginator

    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    session = requests.Client().session
    # An authority of the session loses against REQUESTS_CA_BUNDLE in the environment.
    os.environ["REQUESTS_CA_BUNDLE"] = job["ca_file"]
    form = {
        "grant_type": "client_credentials",
        "scope": "https://graph.microsoft.com/.default",
        "client_id": job["client_id"],
        "client_secret": job["client_secret"],
    }
    token = session.post(job["token_url"], data=form).json()["access_token"]
    client = RESTClient(
        base_url=job["base_url"],
        session=session,
        auth=BearerTokenAuth(token=token),
        headers={"Prefer": 'IdType="ImmutableId"'},
        paginator=JSONLinkPaginator(next_url_path="'@odata.nextLink'"),
        data_selector="value",
    )
    first, year, month = job["month"], *map(int, job["month"].split("-"))
    after = f"{year + month // 12}-{month % 12 + 1:02d}"
    parameters = {
        "$select": (
            "id,internetMessageId,conversationId,conversationIndex,sentDateTime,receivedDateTime,"
            "from,sender,toRecipients,ccRecipients,isDraft,parentFolderId"
        ),
        "$filter": f"receivedDateTime ge {first}-01T00:00:00Z and receivedDateTime lt {after}-01T00:00:00Z",
        "$orderby": "receivedDateTime asc",
        "$top": str(job["page"]),
    }
    rows = 0

    @dlt.resource(name="messages", write_disposition="replace")
    def messages() -> Iterator[list[dict[str, Any]]]:
        nonlocal rows
        for mailbox in job["mailboxes"]:
            for page in client.paginate(f"users/{mailbox}/messages", params=parameters):
                rows += len(page)
                yield list(page)

    database = Path(job["database"])
    database.unlink(missing_ok=True)
    folder = database.with_suffix(".dlt")
    shutil.rmtree(folder, ignore_errors=True)
    pipeline = dlt.pipeline(
        "peer", destination=dlt.destinations.duckdb(str(database)), dataset_name="mail", pipelines_dir=str(folder)
    )
    pipeline.run(messages())
    shutil.rmtree(folder, ignore_errors=True)
    database.unlink(missing_ok=True)
    return {"rows": rows}


PEERS: dict[str, Callable[..., dict[str, Any]]] = {
    "dlt_graph": dlt_graph,
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
