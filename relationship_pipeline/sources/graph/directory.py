"""The directory behind the mailboxes: users and their addresses, groups, domains, roles, licences, our own grants.

Readings of the directory decide who is read and who is not, so a list that cannot be read whole is an error and never a
shorter list; a missing opt-out group stops the run (O1, graph.md 1.6).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from relationship_pipeline.domain.addresses import domain_of, normalize_address
from relationship_pipeline.errors import BadInput, TryAgain
from relationship_pipeline.schemas import DOMAINS, GROUP_MEMBERS, USER_ADDRESSES, USERS
from relationship_pipeline.sources.base import Directory
from relationship_pipeline.sources.graph.auth import ROLE_IDS, roles_of
from relationship_pipeline.sources.graph.client import GraphClient, quoted
from relationship_pipeline.sources.graph.faults import PASSING, GraphFault, Kind
from relationship_pipeline.sources.graph.listing import ATTEMPTS, COUNT_SHORT, read_all
from relationship_pipeline.sources.graph.throttle import DIRECTORY
from relationship_pipeline.sources.graph.wire import DirectoryObject, Folder, decode_count, object_decoder, page_decoder

if TYPE_CHECKING:
    import pyarrow as pa

GLOBAL_ADMINISTRATOR = "62e90394-69f5-4237-9190-012177145e10"
"""Role template id (graph.md 4.6)."""
SALES_SKUS = {
    "2edaa1dc-966d-4475-93d6-8ee8dfd96877": "DYN365_SALES_PREMIUM",
    "1e1a282c-9c54-43a2-9310-98ef728faace": "DYN365_ENTERPRISE_SALES",
}
"""Dynamics 365 Sales Premium and Enterprise, matched by id or part number (graph.md 4.6)."""
HIDDEN_MEMBERS = "Member.Read.Hidden"
"""The permission to see who is in a group whose membership is hidden."""
USER_FIELDS = "id,userPrincipalName,mail,proxyAddresses,displayName,accountEnabled,userType"
MEMBER_PAGE = 999
LOW_PRIORITY = {"x-ms-throttle-priority": "low"}
COUNTED = {**LOW_PRIORITY, "ConsistencyLevel": "eventual"}

_OBJECTS = page_decoder(DirectoryObject)


class _Domain(msgspec.Struct):
    id: str | None = None
    isVerified: bool | None = None


class _VerifiedDomain(msgspec.Struct):
    name: str | None = None


class _Organization(msgspec.Struct):
    id: str | None = None
    verifiedDomains: list[_VerifiedDomain] | None = None


class _ServicePrincipal(msgspec.Struct):
    id: str
    accountEnabled: bool | None = None


class _Group(msgspec.Struct):
    id: str
    visibility: str | None = None


class _Assignment(msgspec.Struct):
    id: str | None = None
    appRoleId: str | None = None


class _PrepaidUnits(msgspec.Struct):
    enabled: int | None = None


class _Sku(msgspec.Struct):
    skuId: str | None = None
    skuPartNumber: str | None = None
    capabilityStatus: str | None = None
    prepaidUnits: _PrepaidUnits | None = None


_DOMAINS = page_decoder(_Domain)
_ORGANIZATIONS = page_decoder(_Organization)
_PRINCIPAL = object_decoder(_ServicePrincipal)
_ASSIGNMENTS = page_decoder(_Assignment)
_SKUS = page_decoder(_Sku)
_FOLDER = object_decoder(Folder)
_GROUP = object_decoder(_Group)


@dataclass(frozen=True)
class Grants:
    """What the directory says of our own application now; the basis of the consent watch (graph.md 4.3).

    `roles` are names where we know the id, else ids. An application that is not there has `found` False.
    """

    found: bool
    enabled: bool
    roles: frozenset[str]

    def missing(self, needed: Iterable[Collection[str]]) -> list[str]:
        """For each need, alternatives of which none is granted, by their last name."""
        return [sorted(names)[-1] for names in needed if not self.roles & set(names)]


class Probe(StrEnum):
    """How one mailbox answers."""

    READABLE = "readable"
    REFUSED = "refused"
    NO_MAILBOX = "no_mailbox"
    UNKNOWN = "unknown"


async def read_directory(
    client: GraphClient, group_ids: Collection[str], opt_out_attribute: str | None = None
) -> Directory:
    """Users, addresses, members of the groups and internal domains, now. Raises BadInput for a group that cannot be
    read, TryAgain where that may pass, GraphFault for anything else."""
    import pyarrow as pa

    # Dated before the first request: somebody who joins a group while this is read was not shown as out of it then (O1).
    read_at = datetime.now(UTC)
    members = [(group, member) for group in sorted(set(group_ids)) for member in await group_members(client, group)]
    users = await read_users(client, with_extensions=opt_out_attribute is not None)
    domains = await internal_domains(client, users)
    return Directory(
        read_at=read_at,
        users=_user_table(users, opt_out_attribute),
        addresses=_address_table(users),
        group_members=pa.Table.from_pylist(
            [{"group_id": group, "user_id": member} for group, member in members], schema=GROUP_MEMBERS
        ),
        domains=pa.Table.from_pylist([{"domain": domain} for domain in sorted(domains)], schema=DOMAINS),
    )


async def read_users(client: GraphClient, *, with_extensions: bool) -> list[DirectoryObject]:
    """Every user object, guests and disabled ones too: filtering by userType on the service loses accounts from before
    2014 (trap 17)."""
    fields = USER_FIELDS + (",onPremisesExtensionAttributes" if with_extensions else "")
    url = f"{client.base}/users?$select={fields}&$top=999&$count=true"
    return await read_all(client, url, DIRECTORY, _OBJECTS, lambda user: user.id, prefer="", headers=COUNTED)


async def group_members(client: GraphClient, group_id: str) -> list[str]:
    """Object ids of a group's transitive user members. The plain list is fresher than the counted cast (graph.md 1.6);
    a member of which only type and id may be read counts. Raises BadInput when the group, or one within it, is missing
    or unreadable, TryAgain where that may pass."""
    group = group_id
    try:
        await _refuse_hidden(client, group)
        members = await _transitive_members(client, group)
        for group in (member.id for member in members if member.id and member.kind == "#microsoft.graph.group"):
            await _refuse_hidden(client, group)
    except GraphFault as fault:
        why = {
            Kind.GONE: "does not exist (any more)",
            Kind.DENIED: "may not be read: grant GroupMember.Read.All, and Member.Read.Hidden for hidden membership",
        }.get(fault.kind, f"could not be read ({fault.code or fault.status})")
        name = group_id if group == group_id else f"{group}, a member of group {group_id},"
        raise (TryAgain if fault.kind in PASSING else BadInput)(
            f"group {name} {why}; nothing is collected while a group that decides who is read is unreadable. "
            f"Mend it, or take {group_id} out of the opt-outs and [scope] groups"
        ) from None
    return [member.id for member in members if member.id and member.kind in (None, "#microsoft.graph.user")]


async def _transitive_members(client: GraphClient, group_id: str) -> list[DirectoryObject]:
    """Everything that is in a group, of any kind. Raises GraphFault."""
    url = f"{client.base}/groups/{quoted(group_id)}/transitiveMembers"
    for _ in range(ATTEMPTS):
        members = await read_all(
            client, f"{url}?$select=id&$top={MEMBER_PAGE}", DIRECTORY, _OBJECTS, lambda member: member.id, prefer="",
            headers=LOW_PRIORITY,
        )  # fmt: skip
        if not members or len(members) % MEMBER_PAGE:
            return members
        # It ended with a full page: so does a list whose next link was lost (trap 2). The count is of an index that
        # lags, so it is asked only here; one that is refused, or answered with something else, is done without.
        try:
            count = await client.fetch(f"{url}/$count", DIRECTORY, decode_count, prefer="", headers=COUNTED)
        except GraphFault as fault:
            if fault.kind in PASSING and fault.status != 200:
                raise
            return members
        if count is None or count <= len(members):
            return members
    raise GraphFault(Kind.TRANSIENT, 200, COUNT_SHORT)


async def _refuse_hidden(client: GraphClient, group_id: str) -> None:
    """Raises GraphFault as for a group that may not be read: without `Member.Read.Hidden` the service leaves the members
    of one with hidden membership out, of its own list and of the lists of groups that hold it, and answers 200, so that
    it would seem that nobody is in it (O1). Asked of each group by itself: in a list of members `visibility` may be null
    for want of a right, which is also what a plain security group has."""
    if HIDDEN_MEMBERS in (roles_of(await client.tokens.token()) or ()):
        return
    url = f"{client.base}/groups/{quoted(group_id)}?$select=id,visibility"
    group = await client.fetch(url, DIRECTORY, _GROUP, prefer="", headers=LOW_PRIORITY)
    if (group.visibility or "").lower() == "hiddenmembership":
        raise GraphFault(Kind.DENIED, 200, "")


async def internal_domains(client: GraphClient, users: Iterable[DirectoryObject]) -> set[str]:
    """Verified domains (N2), where /domains or /organization may be read; else the domains of members' principal names,
    which Entra only gives out of verified ones."""
    try:
        rows = await read_all(
            client, f"{client.base}/domains?$select=id,isVerified", DIRECTORY, _DOMAINS, lambda row: row.id, prefer=""
        )
        domains = {row.id for row in rows if row.id and row.isVerified is not False}
    except GraphFault as fault:
        if fault.kind not in (Kind.DENIED, Kind.CALLER, Kind.GONE, Kind.NOT_FOUND):
            raise
        domains = await _organization_domains(client)
    if not domains:
        names = (user.userPrincipalName for user in users if is_member(user))
        domains = {name.rpartition("@")[2] for name in names if name and "@" in name}
    ascii_forms = (normalize_address(f"domain@{domain}") for domain in domains)
    return {domain_of(address) for address in ascii_forms if address}


async def _organization_domains(client: GraphClient) -> set[str]:
    try:
        rows = await read_all(
            client, f"{client.base}/organization?$select=id,verifiedDomains", DIRECTORY, _ORGANIZATIONS,
            lambda row: row.id, prefer="",
        )  # fmt: skip
    except GraphFault as fault:
        if fault.kind not in (Kind.DENIED, Kind.CALLER, Kind.GONE, Kind.NOT_FOUND):
            raise
        return set()
    return {domain.name for row in rows for domain in row.verifiedDomains or () if domain.name}


def is_member(user: DirectoryObject) -> bool:
    """Whether a user is of the tenant: accounts from before 2014 have no userType and are (trap 17)."""
    return (user.userType or "Member").lower() != "guest"


def _user_table(users: Sequence[DirectoryObject], opt_out_attribute: str | None) -> pa.Table:
    """USERS, column by column: a dictionary for each of 100,000 users would be the largest thing in the process."""
    import pyarrow as pa

    extensions = (user.onPremisesExtensionAttributes or {} for user in users)
    columns = {
        "user_id": [user.id for user in users],
        "display_name": [user.displayName for user in users],
        "primary_address": [_primary_address(user) for user in users],
        "user_principal_name": [user.userPrincipalName for user in users],
        "is_member": [is_member(user) for user in users],
        "account_enabled": [user.accountEnabled for user in users],
        "mailbox_kind": [None] * len(users),
        "opt_out_attribute": [found.get(opt_out_attribute) if opt_out_attribute else None for found in extensions],
        "is_gone": [False] * len(users),
    }
    return pa.Table.from_pydict(columns, schema=USERS)


def _primary_address(user: DirectoryObject) -> str | None:
    primary = next((entry[5:] for entry in user.proxyAddresses or () if entry.startswith("SMTP:")), None)
    return normalize_address(user.mail) or normalize_address(primary)


def _address_table(users: Iterable[DirectoryObject]) -> pa.Table:
    """Every address of every user. One that two users claim goes to the one whose primary address it is, else to the
    first by id."""
    import pyarrow as pa

    owners: dict[str, str] = {}
    ordered = sorted(users, key=lambda user: user.id or "")
    for claims in (lambda user: [_primary_address(user)], _aliases):
        for user in ordered:
            for address in claims(user):
                if address and user.id:
                    owners.setdefault(address, user.id)
    return pa.table([list(owners), list(owners.values())], schema=USER_ADDRESSES).sort_by("address")


def _aliases(user: DirectoryObject) -> list[str | None]:
    """Proxy addresses (`SMTP:`, `smtp:`, `X500:`; SIP and others are no mail addresses), mail and principal name."""
    mail = [entry for entry in user.proxyAddresses or () if entry.partition(":")[0].lower() in ("smtp", "x500")]
    return [normalize_address(text) for text in (*mail, user.mail, user.userPrincipalName)]


async def read_grants(client: GraphClient, client_id: str) -> Grants:
    """Our own application's grants. Needs Application.Read.All; raises GraphFault where they cannot be read."""
    url = f"{client.base}/servicePrincipals(appId='{quoted(client_id)}')?$select=id,accountEnabled"
    try:
        principal = await client.fetch(url, DIRECTORY, _PRINCIPAL, prefer="")
        assignments = await read_all(
            client, f"{client.base}/servicePrincipals/{quoted(principal.id)}/appRoleAssignments?$top=999", DIRECTORY,
            _ASSIGNMENTS, lambda row: row.id, prefer="",
        )  # fmt: skip
    except GraphFault as fault:
        if fault.kind is Kind.GONE:
            return Grants(found=False, enabled=False, roles=frozenset())
        raise
    roles = frozenset(ROLE_IDS.get(row.appRoleId, row.appRoleId) for row in assignments if row.appRoleId)
    return Grants(found=True, enabled=principal.accountEnabled is not False, roles=roles)


async def is_global_admin(client: GraphClient, who: str) -> bool | None:
    """Whether the person (address, principal name or object id) holds Global Administrator; None when that may not be
    read (RoleManagement.Read.Directory is missing). People who are only eligible for it do not hold it."""
    url = f"{client.base}/directoryRoles(roleTemplateId='{GLOBAL_ADMINISTRATOR}')/members?$select=id,userPrincipalName,mail"
    try:
        members = await read_all(client, url, DIRECTORY, _OBJECTS, lambda member: member.id, prefer="")
    except GraphFault as fault:
        if fault.kind in (Kind.DENIED, Kind.CALLER):
            return None
        if fault.kind is Kind.GONE:
            return False
        raise
    wanted = normalize_address(who) or who.strip().lower()
    held = {
        name
        for member in members
        for name in (
            (member.id or "").lower(),
            normalize_address(member.mail),
            normalize_address(member.userPrincipalName),
        )
        if name
    }
    return wanted in held


async def licences(client: GraphClient) -> list[str] | None:
    """Part numbers of Dynamics 365 Sales licences in force; None when they may not be read."""
    try:
        skus = await read_all(
            client, f"{client.base}/subscribedSkus?$select=skuId,skuPartNumber,capabilityStatus,prepaidUnits",
            DIRECTORY, _SKUS, lambda sku: sku.skuId, prefer="",
        )  # fmt: skip
    except GraphFault as fault:
        if fault.kind in (Kind.DENIED, Kind.CALLER):
            return None
        raise
    return sorted(
        sku.skuPartNumber or SALES_SKUS[sku.skuId or ""]
        for sku in skus
        if (sku.skuId in SALES_SKUS or sku.skuPartNumber in SALES_SKUS.values())
        and sku.capabilityStatus in ("Enabled", "Warning")
        and sku.prepaidUnits
        and (sku.prepaidUnits.enabled or 0) > 0
    )


async def probe_mailbox(client: GraphClient, mailbox: str) -> Probe:
    """Whether a mailbox can be read now: a grant in Exchange only shows by trying (graph.md 1.2)."""
    url = f"{client.base}/users/{quoted(mailbox)}/mailFolders/inbox?$select=id"
    try:
        await client.fetch(url, mailbox, _FOLDER)
    except GraphFault as fault:
        if fault.kind is Kind.DENIED:
            return Probe.REFUSED
        return Probe.NO_MAILBOX if fault.kind in (Kind.NO_MAILBOX, Kind.GONE) else Probe.UNKNOWN
    return Probe.READABLE
