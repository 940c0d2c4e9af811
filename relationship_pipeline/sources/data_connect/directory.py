"""Users, their addresses and group members from User_v1 and GroupMembers_v0 (N2, O1)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from relationship_pipeline.domain.addresses import X500, domain_of, normalize_address
from relationship_pipeline.errors import BadInput
from relationship_pipeline.sources.data_connect.files import ExportFile, rows
from relationship_pipeline.sources.data_connect.shapes import GroupMemberRow, UserRow


@dataclass(frozen=True)
class DirectoryRows:
    users: list[dict[str, Any]]
    addresses: list[dict[str, str]]
    domains: set[str]


def directory_tables(
    rows: Iterable[UserRow], opt_out_attribute: str | None, free_mail: frozenset[str]
) -> DirectoryRows:
    """Rows of USERS and USER_ADDRESSES, and the internal domains of N2 in file mode."""
    users: dict[str, dict[str, Any]] = {}
    owners: dict[str, str] = {}
    domains: set[str] = set()
    for row in rows:
        user_id = (row.id or row.puser or "").strip().lower()
        if not user_id:
            continue
        proxies = [proxy for proxy in row.proxyaddresses or [] if proxy]
        primary = [proxy for proxy in proxies if proxy.startswith("SMTP:")]
        principal = normalize_address(row.userprincipalname)
        is_member = (row.usertype or "").lower() != "guest"
        texts = (row.mail, *primary, row.userprincipalname, *proxies)
        known = [normalize_address(text) for text in texts]
        addresses = [address for address in known if address and not address.startswith(X500)]
        attributes = row.onpremisesextensionattributes or {}
        attribute = attributes.get((opt_out_attribute or "").lower())
        users[user_id] = {
            "user_id": user_id,
            "display_name": row.displayname,
            "primary_address": addresses[0] if addresses else None,
            "user_principal_name": row.userprincipalname,
            "is_member": is_member,
            "account_enabled": row.accountenabled is not False,
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
    return DirectoryRows(
        users=[users[user_id] for user_id in sorted(users)],
        addresses=[{"address": address, "user_id": owners[address]} for address in sorted(owners)],
        domains=domains - free_mail,
    )


def group_members(files: list[ExportFile], group_ids: Collection[str]) -> list[dict[str, str]]:
    if not group_ids:
        return []
    if not files:
        raise BadInput(
            "opt-out or scope groups are set but the export has no GroupMembers_v0; add that dataset to the copy "
            "activity, or take the groups out"
        )
    members: dict[str, set[str]] = {}
    nested: set[str] = set()
    for file in files:
        for row in rows(file, GroupMemberRow):
            group = row.groupid or row.pobjectid or row.puser
            if not group or not row.id:
                raise BadInput(f"{file.title} has a row without the id of group or member; export it again")
            member = row.id.lower()
            members.setdefault(group.lower(), set()).add(member)
            if (row.odatatype or row.graph_type or "").lower().endswith("group"):
                nested.add(member)
    wanted = {group: group.strip().lower() for group in sorted(set(group_ids))}
    missing = [key for key in wanted.values() if key not in members]
    if missing:
        raise BadInput(
            f"GroupMembers_v0 does not list {len(missing)} of the {len(wanted)} groups that opt-outs or scope "
            "name; export those groups too, or take them out (`relationship-pipeline opt-out list`)"
        )
    found = {group: _all_below(key, members) for group, key in wanted.items()}
    unlisted = nested & set().union(*found.values())
    if unlisted:
        raise BadInput(
            f"GroupMembers_v0 does not list the members of {len(unlisted)} groups that are nested in groups that opt-outs "
            "or scope name; export those groups too, and take empty ones out of the others"
        )
    return [{"group_id": group, "user_id": member} for group in wanted for member in sorted(found[group])]


def _all_below(group: str, members: Mapping[str, set[str]]) -> set[str]:
    """Members of a group and of the groups in it, those groups themselves left out whose members are listed."""
    seen, waiting, people = {group}, [group], set()
    while waiting:
        for member in members[waiting.pop()]:
            if member not in members:
                people.add(member)
            elif member not in seen:
                seen.add(member)
                waiting.append(member)
    return people
