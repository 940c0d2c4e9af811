"""Other ways to do the same work, each in a process of its own: `python -m benchmarks.peers PEER …`.

Those that need the extra `benchmarks` import it here, so that whatever is missing is one line.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any


def _message_columns() -> dict[str, str]:
    """The columns that the project reads of Message_v1."""
    from relationship_pipeline.sources.data_connect.shapes import MESSAGE, Spelling, duckdb_type

    return {name: duckdb_type(shape, Spelling.CAMEL) for name, shape in MESSAGE.items()}


def duckdb_read_json(folder: str) -> dict[str, Any]:
    """DuckDB reads every column of every row and throws them away: what no import of these files can go below."""
    import duckdb

    with duckdb.connect(config={"preserve_insertion_order": "false"}) as connection:
        counts = connection.execute(
            "select count(columns(*)), count(*) from read_json($files, format = 'newline_delimited', columns = $columns)",
            {"files": f"{folder}/Message_v1/*", "columns": _message_columns()},
        ).fetchone()
    return {"rows": counts[-1] if counts else 0}


def duckdb_plain_import(folder: str) -> dict[str, Any]:
    """The least that an import could be: one pass that writes the rows, sorted, as one Parquet file. No keys, no copy recognised
    as another's, no rule applied, nothing kept for other months."""
    import duckdb

    from relationship_pipeline.lake.engine import copy_to_parquet, sql

    target = Path(folder).parent / "peer.parquet"
    try:
        with duckdb.connect(config={"preserve_insertion_order": "false"}) as connection:
            values = {"files": f"{folder}/Message_v1/*", "columns": _message_columns()}
            copy_to_parquet(connection, sql("benchmarks.models", "plain_import"), target, values)
    finally:
        target.unlink(missing_ok=True)
    return {}


def dlt_crawl(folder: str, month_start: str, month_end: str, most: str) -> dict[str, Any]:
    """A dlt REST pipeline of the same pages into DuckDB, mailbox by mailbox until `most` messages are there. Where the
    simulator is, stands in the environment as for the project."""
    import dlt
    import requests
    from dlt.sources.helpers.rest_client import RESTClient
    from dlt.sources.helpers.rest_client.auth import BearerTokenAuth
    from dlt.sources.helpers.rest_client.paginators import JSONLinkPaginator

    settings = {name: os.environ[f"RELATIONSHIP_GRAPH__{name}"] for name in GRAPH_SETTINGS}
    session = requests.Session()
    session.trust_env = False
    session.verify = settings["CA_BUNDLE"]
    answer = session.post(
        f"{settings['AUTHORITY']}/oauth2/v2.0/token",
        data={
            "grant_type": "client_credentials",
            "client_id": settings["CLIENT_ID"],
            "client_secret": settings["CLIENT_SECRET"],
            "scope": "https://graph.microsoft.com/.default",
        },
        timeout=60,
    )
    client = RESTClient(
        settings["BASE_URL"],
        auth=BearerTokenAuth(answer.json()["access_token"]),
        paginator=JSONLinkPaginator(next_url_path="'@odata.nextLink'"),
        data_selector="value",
        session=session,
    )
    read = 0

    @dlt.resource(name="message", write_disposition="append")
    def messages() -> Iterator[Any]:
        nonlocal read
        users = [user for page in client.paginate("users", params={"$select": "id,mail", "$top": 999}) for user in page]
        for user in users:
            if read >= int(most):
                return
            query = {
                "$select": GRAPH_FIELDS,
                "$filter": f"receivedDateTime ge {month_start} and receivedDateTime lt {month_end}",
                "$orderby": "receivedDateTime asc",
                "$top": 500,
            }
            try:
                for page in client.paginate(f"users/{user['id']}/messages", params=query):
                    read += len(page)
                    yield list(page)
            except requests.HTTPError as error:
                # rooms, guests and leavers have no mailbox
                if error.response.status_code not in (403, 404):
                    raise

    pipeline = dlt.pipeline(
        "benchmark",
        pipelines_dir=f"{folder}/pipelines",
        destination=dlt.destinations.duckdb(f"{folder}/dlt.duckdb"),
        dataset_name="mail",
    )
    started = sum(os.times()[:4])
    pipeline.run(messages())
    return {"messages": read, "cpu_seconds": sum(os.times()[:4]) - started}


GRAPH_SETTINGS = ("BASE_URL", "AUTHORITY", "CA_BUNDLE", "CLIENT_ID", "CLIENT_SECRET")
GRAPH_FIELDS = (
    "id,internetMessageId,conversationId,conversationIndex,sentDateTime,receivedDateTime,from,sender,toRecipients,"
    "ccRecipients,parentFolderId,isDraft"
)


def duckdb_pairs(*files: str) -> dict[str, Any]:
    """DuckDB scans a month of the lake and counts emails by pair of addresses and day: the aggregation that interactions
    of any kind cannot do without."""
    import duckdb

    with duckdb.connect(config={"preserve_insertion_order": "false"}) as connection:
        counts = connection.execute(
            """
            with sides as (
                select
                    from_address,
                    unnest(list_concat(to_addresses, cc_addresses)) as to_address,
                    received_at
                from read_parquet($files)
                where copy_rank = 1 and not is_bulk
            ),

            pair_days as (
                select from_address, to_address, received_at::date as day, count(*) as emails, max(received_at) as last_at
                from sides
                group by all
            )

            select count(*), sum(emails), max(last_at) from pair_days
            """,
            {"files": list(files)},
        ).fetchone()
    return {"pair_days": counts[0], "participants": counts[1]} if counts else {}


def polars_contact_ties(domain: str, as_of: str, *files: str) -> dict[str, Any]:
    """The five strongest colleagues of every outside contact, by emails discounted with a half-life of 30 days, straight
    from the emails of all months: Polars, lazy and streaming."""
    import polars as pl

    across = _polars_named(as_of, files).filter(_inside(domain, "from_address") != _inside(domain, "person"))
    ties = _polars_strongest(_polars_across(across, domain), "contact")
    return {"contacts": ties.collect(engine="streaming").height, "polars": pl.__version__}


def polars_ties(domain: str, as_of: str, *files: str) -> dict[str, Any]:
    """Of the same emails all ties that who knows whom and the graph are made of: the five strongest colleagues of every
    contact and of every account (here the contact's domain), and the ties among colleagues."""
    import polars as pl

    named = _polars_named(as_of, files)
    across = _polars_across(
        named.filter(_inside(domain, "from_address") != _inside(domain, "person")), domain
    ).with_columns(account=pl.col("contact").str.split("@").list.last())
    among = (
        named.filter(_inside(domain, "from_address") & _inside(domain, "person"))
        .select(
            one=pl.min_horizontal("from_address", "person"),
            two=pl.max_horizontal("from_address", "person"),
            weight="weight",
        )
        .group_by("one", "two")
        .agg(strength=pl.col("weight").sum(), emails=pl.len())
    )
    wanted = [_polars_strongest(across, "contact"), _polars_strongest(across, "account"), among]
    contacts, accounts, colleagues = pl.collect_all(wanted, engine="streaming")
    return {"contacts": contacts.height, "accounts": accounts.height, "colleague_pairs": colleagues.height}


def _inside(domain: str, column: str) -> Any:
    import polars as pl

    return pl.col(column).str.ends_with("@" + domain)


def _polars_named(as_of: str, files: Iterable[str]) -> Any:
    """Sender, each recipient, and what the email weighs by its age."""
    import polars as pl

    age = (pl.lit(as_of).str.to_datetime(time_zone="UTC") - pl.col("received_at")).dt.total_seconds() / 86_400
    return (
        pl.scan_parquet(list(files))
        .filter((pl.col("copy_rank") == 1) & ~pl.col("is_bulk"))
        .select(
            "from_address",
            person=pl.concat_list("to_addresses", "cc_addresses"),
            weight=pl.lit(0.5).pow(age / 30),
        )
        .explode("person")
    )


def _polars_across(named: Any, domain: str) -> Any:
    import polars as pl

    contact_is_sender = _inside(domain, "person")
    return named.select(
        contact=pl.when(contact_is_sender).then("from_address").otherwise("person"),
        colleague=pl.when(contact_is_sender).then("person").otherwise("from_address"),
        weight="weight",
    )


def _polars_strongest(across: Any, record: str) -> Any:
    import polars as pl

    return (
        across.group_by(record, "colleague")
        .agg(strength=pl.col("weight").sum(), emails=pl.len())
        .group_by(record)
        .agg(pl.struct("colleague", "strength", "emails").top_k_by("strength", 5))
    )


def read_bytes(folder: str) -> dict[str, Any]:
    """Read every file below a folder once."""
    size = 0
    for path in Path(folder).rglob("*"):
        if path.is_file():
            with path.open("rb", buffering=0) as file:
                while block := file.read(1 << 22):
                    size += len(block)
    return {"bytes": size}


PEERS: dict[str, Callable[..., dict[str, Any]]] = {
    "duckdb_read_json": duckdb_read_json,
    "duckdb_plain_import": duckdb_plain_import,
    "dlt_crawl": dlt_crawl,
    "duckdb_pairs": duckdb_pairs,
    "polars_ties": polars_ties,
    "polars_contact_ties": polars_contact_ties,
    "read_bytes": read_bytes,
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
