"""Small directories for the consent tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import pyarrow as pa

from relationship_pipeline.schemas import DOMAINS, GROUP_MEMBERS, USER_ADDRESSES, USERS
from relationship_pipeline.sources.base import Directory

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)


def user(name: str, **changes: object) -> dict[str, object]:
    return {
        "user_id": f"id-{name}",
        "display_name": name.title(),
        "primary_address": f"{name}@contoso.example",
        "user_principal_name": f"{name}@contoso.example",
        "is_member": True,
        "account_enabled": True,
        "mailbox_kind": "user",
        "opt_out_attribute": None,
        "is_gone": False,
    } | changes


def directory(
    users: Sequence[Mapping[str, object]],
    *,
    aliases: Mapping[str, Sequence[str]] | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
    read_at: datetime = NOW,
) -> Directory:
    """A reading of the directory. `aliases`: user id -> more addresses. `groups`: group id -> user ids."""
    addresses = [(row["primary_address"], row["user_id"]) for row in users]
    addresses += [(alias, user_id) for user_id, more in (aliases or {}).items() for alias in more]
    members = [(group, member) for group, inside in (groups or {}).items() for member in inside]
    return Directory(
        read_at=read_at,
        users=pa.Table.from_pylist([dict(row) for row in users], schema=USERS),
        addresses=_pairs(addresses, USER_ADDRESSES),
        group_members=_pairs(members, GROUP_MEMBERS),
        domains=pa.table({"domain": ["contoso.example"]}, schema=DOMAINS),
    )


def _pairs(rows: Sequence[tuple[object, object]], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema=schema)
