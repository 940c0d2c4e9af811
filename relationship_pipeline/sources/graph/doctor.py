"""Preflight of a tenant (C7): what works, what is missing, and what the administrator does about it, in his words."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from relationship_pipeline.errors import PipelineError
from relationship_pipeline.sources.graph import directory
from relationship_pipeline.sources.graph.access import open_graph
from relationship_pipeline.sources.graph.auth import CALENDAR_ROLES, MAIL_ROLES, roles_of
from relationship_pipeline.sources.graph.client import PATIENT, GraphClient, Patience
from relationship_pipeline.sources.graph.directory import Probe
from relationship_pipeline.sources.graph.faults import GraphFault, Kind
from relationship_pipeline.sources.graph.throttle import DIRECTORY
from relationship_pipeline.sources.graph.wire import DirectoryObject, page_decoder

if TYPE_CHECKING:
    from relationship_pipeline.settings import GraphSettings

PASS, FAIL, CANNOT_TELL = "pass", "fail", "cannot tell"
PROBED = 20
"""Mailboxes tried until one answers, when the settings name no sentinel."""
SHOWN_BY = {"Mail.ReadBasic.All": "the mailbox check below", "Calendars.ReadBasic.All": "the first run"}
"""How permissions show that may be granted in Exchange, where nobody can look them up (graph.md 1.2)."""

NEEDED: dict[str, tuple[Collection[str], str]] = {
    "Mail.ReadBasic.All": (MAIL_ROLES, "senders, recipients and times of mail, never its content"),
    "Calendars.ReadBasic.All": (CALENDAR_ROLES, "meetings without their text"),
    "User.Read.All": (("User.Read.All", "Directory.Read.All"), "colleagues and all their addresses"),
    "GroupMember.Read.All": (("GroupMember.Read.All", "Directory.Read.All"), "opt-out groups"),
    "Application.Read.All": (("Application.Read.All", "Directory.Read.All"), "noticing that consent was withdrawn"),
}
OPTIONAL: dict[str, tuple[Collection[str], str]] = {
    "RoleManagement.Read.Directory": (
        ("RoleManagement.Read.Directory", "Directory.Read.All"),
        "confirms that whoever consents is Global Administrator",
    ),
    "Organization.Read.All": (
        ("Organization.Read.All", "LicenseAssignment.Read.All", "Directory.Read.All"),
        "checks the Dynamics 365 Sales licence",
    ),
    "Domain.Read.All": (
        ("Domain.Read.All", "Organization.Read.All", "Directory.Read.All"),
        "reads the verified domains; without it the domains of the users' names stand in",
    ),
}


@dataclass(frozen=True)
class Check:
    """One line: `verdict` is pass, fail or cannot tell; `advice` says what was seen or what to do."""

    name: str
    verdict: str
    advice: str


def examine_tenant(settings: GraphSettings, patience: Patience = PATIENT) -> list[tuple[str, str, str]]:
    """Every check as (name, verdict, advice). Reads no mail; never raises for what it finds."""
    try:
        checks = asyncio.run(_examine(settings, patience))
    except PipelineError as error:
        checks = [Check("sign-in", FAIL, str(error))]
    return [(check.name, check.verdict, check.advice) for check in checks]


async def _examine(settings: GraphSettings, patience: Patience) -> list[Check]:
    async with open_graph(settings, patience) as client:
        token = await client.tokens.token()
        checks = [Check("sign-in", PASS, "the application signs in, with no more permissions than it may use")]
        roles = roles_of(token)
        if roles is None:
            checks.append(
                Check("permissions", CANNOT_TELL, "the token cannot be read; the checks below try them one by one")
            )
        else:
            checks += _permissions(roles, settings.grant_mode)
        checks.append(await _grants(client, settings))
        checks += await _users_and_mailboxes(client, settings)
        checks.append(await _licences(client))
        return checks


def _permissions(roles: Collection[str], grant_mode: str) -> list[Check]:
    checks = []
    for name, (alternatives, purpose) in NEEDED.items():
        exchange = grant_mode == "exchange_rbac" and name in SHOWN_BY
        if exchange:
            checks.append(
                Check(name, CANNOT_TELL, f"granted in Exchange, not here: {SHOWN_BY[name]} shows whether it works")
            )
        elif set(roles).intersection(alternatives):
            checks.append(Check(name, PASS, purpose))
        else:
            checks.append(Check(name, FAIL, f"grant this application permission with admin consent: {purpose}"))
    for name, (alternatives, purpose) in OPTIONAL.items():
        if set(roles).intersection(alternatives):
            checks.append(Check(name, PASS, purpose))
        else:
            checks.append(Check(name, CANNOT_TELL, f"optional: {purpose}; needs {name}"))
    return checks


async def _grants(client: GraphClient, settings: GraphSettings) -> Check:
    name = "consent in the directory"
    try:
        grants = await directory.read_grants(client, settings.client_id or "")
    except GraphFault as fault:
        return Check(name, CANNOT_TELL, f"our own grants could not be read ({fault.code or fault.status})")
    if not grants.found or not grants.enabled:
        return Check(name, FAIL, "the enterprise application is missing or disabled: enable it and grant admin consent")
    needed = [] if settings.grant_mode == "exchange_rbac" else [MAIL_ROLES, CALENDAR_ROLES]
    missing = grants.missing(needed)
    if missing:
        return Check(name, FAIL, f"not granted: {', '.join(missing)}; grant admin consent")
    return Check(name, PASS, "granted and enabled")


async def _users_and_mailboxes(client: GraphClient, settings: GraphSettings) -> list[Check]:
    try:
        page = await client.fetch(
            f"{client.base}/users?$select=id,accountEnabled,userType,proxyAddresses&$top=100",
            DIRECTORY,
            page_decoder(DirectoryObject),
            prefer="",
        )
    except GraphFault as fault:
        if fault.kind is Kind.DENIED:
            reason = "grant User.Read.All"
        elif fault.status:
            reason = f"Microsoft Graph answered {fault.status}"
        else:
            reason = (
                f"Microsoft Graph cannot be reached ({fault.code}); look at the network, the proxy and graph.ca_bundle"
            )
        return [Check("users", FAIL, reason), Check("mailbox", CANNOT_TELL, "no user could be read")]
    checks = [Check("users", PASS, f"{len(page.rows)} on the first page")]
    candidates = [user.id for user in page.rows if user.id and user.accountEnabled and directory.is_member(user)]
    names = [settings.sentinel_mailbox] if settings.sentinel_mailbox else candidates[:PROBED]
    answers = [Probe.UNKNOWN]
    for name in names:
        answers.append(await directory.probe_mailbox(client, name))
        if answers[-1] is Probe.READABLE:
            return [*checks, Check("mailbox", PASS, "a mailbox can be read")]
    if Probe.REFUSED in answers:
        advice = "mailboxes refuse the application: grant Mail.ReadBasic.All, or look at the policy that narrows it"
        return [*checks, Check("mailbox", FAIL, advice)]
    return [
        *checks,
        Check("mailbox", CANNOT_TELL, f"none of {len(names)} mailboxes answered; set graph.sentinel_mailbox"),
    ]


async def _licences(client: GraphClient) -> Check:
    name = "licences"
    try:
        found = await directory.licences(client)
    except GraphFault as fault:
        return Check(name, CANNOT_TELL, f"licences could not be read ({fault.code or fault.status})")
    if found is None:
        return Check(name, CANNOT_TELL, "needs Organization.Read.All or LicenseAssignment.Read.All")
    if not found:
        return Check(name, FAIL, "no Dynamics 365 Sales licence is in force in the tenant")
    return Check(name, PASS, ", ".join(found))
