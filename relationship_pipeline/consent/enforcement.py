"""Who may be read, shown and named now, as tables for collection, insights, publishing and restore (O1-O6, N2, K5).

Joins one reading of the directory with the epoch's opt-outs and snapshots, the opt-outs kept from earlier epochs (C5),
the directory attribute and `inbox/opt_outs.csv` (O2), and the role scope (O3). Decides nothing itself: the rules are
`domain/optout.py`.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relationship_pipeline.consent.ledger import ControlLedger
from relationship_pipeline.consent.optouts import KeptOptOuts, OptOuts
from relationship_pipeline.domain.addresses import domain_and_parents, domain_of, normalize_address
from relationship_pipeline.domain.consent import Purpose
from relationship_pipeline.domain.optout import (
    ALWAYS,
    DEFAULT_SCOPES,
    FREE,
    Interval,
    Kind,
    Mode,
    OptOut,
    Scope,
    Standing,
    complement,
    standing,
)
from relationship_pipeline.errors import BadInput, Refused, TryAgain

if TYPE_CHECKING:
    import pyarrow as pa

    from relationship_pipeline.layout import Layout
    from relationship_pipeline.settings import Settings
    from relationship_pipeline.sources.base import Directory

OPT_OUT_VALUE = "out"
"""O2: what the directory attribute holds when its owner opts out."""

CSV, ATTRIBUTE = "inbox/opt_outs.csv", "directory attribute"
"""O2: the ways to opt out by a value that stands somewhere: source of such entries, and the group that those count as a
member of for whom it stands."""


@dataclass(frozen=True)
class Rules:
    """Arrow tables, all of now.

    readable(mailbox, since, until): copies of the mailbox received in [since, until) may be collected; null is open;
    a mailbox may have several rows, and one that may not be read has none.
    people(address, user_id, in_scope, may_introduce, display_name, primary_address, hidden): every address of every
    member user (guests are outside people, N2); `in_scope` if they are at any time.
    absences(user_id, since, until): when somebody in scope was not (O1); null is open.
    hidden(address), hidden_domains(domain): to be removed as sender or recipient and never shown (O4 `everywhere`,
    O5, O6); a domain stands for its sub-domains too.
    internal_domains(domain): N2.
    erase_due: user ids whose existing data must go, with whether everywhere (O2, group mode `erase`).
    erase_addresses, erase_domains: what must go from everybody's existing copies too (`everywhere`, mode `erase`).
    counts: for metadata. version: changes whenever an opt-out, scope or membership does.
    """

    readable: pa.Table
    people: pa.Table
    absences: pa.Table
    hidden: pa.Table
    hidden_domains: pa.Table
    internal_domains: pa.Table
    erase_due: Mapping[str, bool]
    erase_addresses: frozenset[str]
    erase_domains: frozenset[str]
    counts: Mapping[str, int]
    version: str

    @property
    def readable_mailboxes(self) -> frozenset[str]:
        return frozenset(self.readable.column("mailbox").to_pylist())


@dataclass(frozen=True)
class _User:
    user_id: str
    addresses: tuple[str, ...]
    row: Mapping[str, Any]


def groups_needed(layout: Layout, epoch: str, settings: Settings) -> list[str]:
    """The groups whose members the directory must be asked for before `read_rules`: opt-out groups and the scope."""
    opt_outs = OptOuts(layout, epoch)
    return sorted(_groups_that_matter(opt_outs.entries(), settings, opt_outs.scope_groups()))


def _groups_that_matter(entries: Iterable[OptOut], settings: Settings, scope_groups: Iterable[str]) -> set[str]:
    opted_out = {entry.subject for entry in entries if entry.kind is Kind.GROUP and entry.ended_at is None}
    return opted_out.union(settings.scope.groups, scope_groups)


def record_memberships(layout: Layout, epoch: str, directory: Directory, group_ids: Iterable[str]) -> None:
    """Store what this reading of the directory says about the groups that it was asked for, and whom it shows to be opted
    out by hand (O1)."""
    members: dict[str, set[str]] = {group_id: set() for group_id in group_ids}
    for row in directory.group_members.to_pylist():
        if row["group_id"] in members:
            members[row["group_id"]].add(row["user_id"])
    OptOuts(layout, epoch).record_snapshot(members, directory.members_at or directory.read_at)
    users, lines = _member_users(directory), entries_of_file(layout.inbox_opt_outs)
    _hold(OptOuts(layout, epoch), users, lines, directory)
    _record_values(OptOuts(layout, epoch), users, lines, directory)


def _record_values(
    opt_outs: OptOuts, users: Collection[_User], lines: Collection[OptOut], directory: Directory
) -> None:
    """Fold who is opted out by a line of the file or by the attribute as if either were a group: once the value is taken
    away it is known when it stood (O1). Whoever is not listed now keeps what they had."""
    kept = opt_outs.kept(create=bool(lines))
    named = _named_by(users, [line for line in lines if line.is_active(directory.read_at)], kept)
    since = {
        user_id: min(line.since for line in mine if line.since)
        for user_id, mine in named.items()
        if any(line.since for line in mine)
    }
    listed = set(directory.users.column("user_id").to_pylist())
    memberships = opt_outs.memberships()
    for way, out in ((CSV, set(named)), (ATTRIBUTE, {user.user_id for user in users if _says_out(user)})):
        before = memberships.get(way, {}).items()
        unlisted = {user_id for user_id, spans in before if any(span.end is None for span in spans)} - listed
        opt_outs.record_snapshot({way: out | unlisted}, directory.read_at, since if way == CSV else {})
    opt_outs.drop_names([kept.digest(CSV, line.subject) for line in lines])


def hold_users(layout: Layout, epoch: str, directory: Directory) -> None:
    """Remember for whom of the directory entries by hand hold, so that they do whatever becomes of an address (O2); and of
    users who are opted out everywhere all addresses, none of which may come back as somebody outside once the directory
    no longer has it (O4). As hashes, for later consents too (C5)."""
    _hold(OptOuts(layout, epoch), _member_users(directory), entries_of_file(layout.inbox_opt_outs), directory)


def _hold(opt_outs: OptOuts, users: Collection[_User], lines: Collection[OptOut], directory: Directory) -> None:
    kept = opt_outs.kept(create=bool(lines))
    if not len(kept) and not lines:
        return
    in_file = {line.subject for line in lines}
    owners = _owners(users, directory)
    held: dict[str, set[str]] = defaultdict(set)
    names: dict[str, set[str]] = defaultdict(set)
    for user in users:
        own = [address for address in user.addresses if owners[address] == user.user_id]
        entries = {
            kept.digest(kind, entry.subject): entry
            for kind in (Kind.USER, Kind.ADDRESS)
            for entry in kept.match(kind, own)
        }
        for digest, entry in (entries | kept.known_by(user.user_id)).items():
            held[digest].add(user.user_id)
            if Scope.EVERYWHERE in entry.scopes:
                names[digest].update(own)
        for address in in_file.intersection(own):
            names[kept.digest(CSV, address)].add(user.user_id)
    opt_outs.hold(kept, held, names)


def member_addresses(directory: Directory) -> frozenset[str]:
    """Every address of every member user (N2)."""
    return frozenset(address for user in _member_users(directory) for address in user.addresses)


def bearer_of(directory: Directory, address: str) -> str | None:
    """The member of the directory for whom an address stands, by user id."""
    return _owners(_member_users(directory), directory).get(address)


def out_by_hand(layout: Layout, epoch: str, directory: Directory | None, address: str) -> list[OptOut]:
    """The entries in force that leave this address out, or the user who has it: by `opt-out`, under this consent or an
    earlier one, or by `inbox/opt_outs.csv`."""
    kept = OptOuts(layout, epoch).kept()
    found = kept.match(Kind.USER, [address]) + kept.match(Kind.ADDRESS, [address])
    if directory is not None and (bearer := bearer_of(directory, address)):
        found += [replace(entry, subject=address) for entry in kept.known_by(bearer).values()]
    found += kept.match(Kind.DOMAIN, _domains_above(address))
    found += [entry for entry in entries_of_file(layout.inbox_opt_outs) if entry.subject == address]
    return list({(entry.kind, entry.subject, entry.source): entry for entry in found}.values())


def read_rules(
    layout: Layout,
    epoch: str,
    directory: Directory,
    settings: Settings,
    now: datetime,
    *,
    role_holders: Collection[str] | None = None,
    named_elsewhere: Callable[[], Collection[str]] = frozenset,
    persons: Callable[[], Mapping[str, frozenset[str]]] = dict,
) -> Rules:
    """The rules in force at `now`.

    `role_holders`: addresses (N1) or directory ids of those who hold a role of `[scope] roles`, from the CRM's
    `user_roles`. `named_elsewhere`: addresses and domains that the CRM names, for of opt-outs under an earlier consent
    only hashes are kept (C5); not asked for where none are. `persons`: addresses that the CRM lists, each with all of the
    same person's, so that whoever is suppressed does not come back under the next one (O6); asked for where somebody is.
    Raises Refused when a group was never read or the ledger cannot be, and BadInput for a broken `inbox/opt_outs.csv`
    or a role scope without CRM rows (O1: what is unknown stops the run).
    """
    opt_outs = OptOuts(layout, epoch)
    memberships = opt_outs.memberships()
    entries = opt_outs.entries()
    _require_snapshots(entries, settings, opt_outs.scope_groups(), memberships)
    users = _member_users(directory)
    by_hand = [entry for entry in entries if entry.kind is not Kind.GROUP]
    kept = opt_outs.kept()
    by_hand += _kept(kept, users, by_hand, named_elsewhere)
    groups = [entry for entry in entries if entry.kind is Kind.GROUP] + [_by_value(way) for way in (CSV, ATTRIBUTE)]
    concerned = _entries_by_user(users, by_hand, groups, memberships)
    for user_id, lines in _named_by(users, entries_of_file(layout.inbox_opt_outs), kept).items():
        concerned[user_id] += [(line, [ALWAYS]) for line in lines]
    for user in users:
        concerned[user.user_id] += [(entry, [ALWAYS]) for entry in kept.known_by(user.user_id).values()]
    for user_id, intervals in opt_outs.held_before().items():
        concerned[user_id].append((_by_value("taken back"), intervals))
    if settings.opt_out.attribute is not None:
        for user in users:
            if _says_out(user):
                concerned[user.user_id].append((_attribute_entry(), [ALWAYS]))
    record = ControlLedger(layout).record_of(epoch)
    consented_at = record.granted_at if record else None
    standings = {
        user.user_id: standing(found, now, consented_at) if (found := concerned.get(user.user_id)) else FREE
        for user in users
    }
    in_role_scope = _role_scope(users, settings, opt_outs.scope_groups(), memberships, role_holders)
    removed = _removed(by_hand, now, persons)
    return _tables(users, standings, in_role_scope, removed, directory, settings, now, opt_outs.version())


@contextmanager
def rules_fence(layout: Layout, epoch: str, version: str) -> Iterator[None]:
    """The commit fence for what was read under rules of this version: raises TryAgain when somebody opted out, or a
    membership changed, since then, so that nothing they took back is committed (graph.md 4.5 c)."""
    with ControlLedger(layout).commit_fence(epoch, Purpose.COLLECT):
        if OptOuts(layout, epoch).version() != version:
            raise TryAgain("opt-outs changed while this was read; run it again")
        yield


def recogniser(
    layout: Layout, epoch: str, directory: Directory | None = None
) -> Callable[[list[str]], list[str]] | None:
    """Picks from addresses those that were suppressed by hand under an earlier consent (C5, O6), by themselves or by
    their domain, or as a further address of somebody who was; those that the directory gives to its users go by the
    rules. Only hashes are kept, so they are recognised when they turn up and not before. None when none are kept."""
    kept = OptOuts(layout, epoch).kept()
    if not len(kept):
        return None
    ours = member_addresses(directory) if directory else frozenset()

    def recognise(addresses: list[str]) -> list[str]:
        named = kept.match(Kind.ADDRESS, addresses) + kept.match(Kind.USER, addresses)
        for address in addresses:
            if address not in ours:
                named += kept.known_by(address).values()
        found = {entry.subject for entry in named if Scope.EVERYWHERE in entry.scopes}
        domains = {parent for address in addresses for parent in _domains_above(address)}
        hidden = {entry.subject for entry in kept.match(Kind.DOMAIN, domains) if Scope.EVERYWHERE in entry.scopes}
        found.update(address for address in addresses if hidden.intersection(_domains_above(address)))
        return sorted(found)

    return recognise


def _member_users(directory: Directory) -> list[_User]:
    addresses: dict[str, set[str]] = defaultdict(set)
    for row in directory.addresses.to_pylist():
        addresses[row["user_id"]].add(row["address"])
    users = []
    for row in directory.users.to_pylist():
        if not row["is_member"]:
            continue
        known = addresses[row["user_id"]]
        known |= {name.lower() for name in (row["primary_address"], row["user_principal_name"]) if name}
        users.append(_User(row["user_id"], tuple(sorted(known)), row))
    return users


def _require_snapshots(
    entries: Iterable[OptOut], settings: Settings, scope_groups: Iterable[str], memberships: Mapping[str, object]
) -> None:
    unread = _groups_that_matter(entries, settings, scope_groups) - set(memberships)
    if unread:
        raise Refused(
            f"the members of {len(unread)} opt-out or scope group(s) have not been read yet; "
            "run `relationship-pipeline refresh` first, which reads them"
        )


def _kept(
    kept: KeptOptOuts,
    users: Iterable[_User],
    known: Iterable[OptOut],
    named_elsewhere: Callable[[], Collection[str]],
) -> list[OptOut]:
    """Entries of earlier epochs that the addresses of the directory and the CRM bring back, unless this epoch's ledger
    has them."""
    if not len(kept):
        return []
    ours = {address for user in users for address in user.addresses}
    addresses = ours.union(named_elsewhere())
    domains = {parent for address in addresses for parent in _domains_above(address)}
    standing_now = {(entry.kind, entry.subject) for entry in known if entry.ended_at is None}
    found = kept.match(Kind.USER, addresses) + kept.match(Kind.ADDRESS, addresses) + kept.match(Kind.DOMAIN, domains)
    for address in addresses - ours:
        found += [entry for entry in kept.known_by(address).values() if Scope.EVERYWHERE in entry.scopes]
    return [entry for entry in found if (entry.kind, entry.subject) not in standing_now]


@dataclass(frozen=True)
class _Removed:
    """An address or domain that appears nowhere (O4 `everywhere`, O5, O6)."""

    subject: str
    is_domain: bool
    mode: Mode


def _removed(
    by_hand: Iterable[OptOut], now: datetime, persons: Callable[[], Mapping[str, frozenset[str]]]
) -> list[_Removed]:
    entries = [entry for entry in by_hand if Scope.EVERYWHERE in entry.scopes and entry.is_active(now)]
    known = persons() if any(entry.kind is not Kind.DOMAIN for entry in entries) else {}
    removed = []
    for entry in entries:
        is_domain = entry.kind is Kind.DOMAIN
        same = {entry.subject} if is_domain else {entry.subject} | known.get(entry.subject, frozenset())
        removed += [_Removed(subject, is_domain, entry.mode) for subject in same]
    return removed


def _domains_above(address: str) -> list[str]:
    """The domains by which an opt-out of a domain reaches an address."""
    return domain_and_parents(domain_of(address))


def entries_of_file(path: Path) -> list[OptOut]:
    """O2: `address,since` with a header; since is an ISO date or instant, or empty. Raises BadInput by line number."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if reader.fieldnames and "address" not in reader.fieldnames:
                raise BadInput("inbox/opt_outs.csv has no header: its first line must be `address,since`")
            rows = [(reader.line_num, row) for row in reader]
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"inbox/opt_outs.csv cannot be read ({type(error).__name__}); collection waits for it") from None
    entries = []
    for line, row in rows:
        address = normalize_address(row.get("address"))
        if address is None or "@" not in address:
            raise BadInput(f"inbox/opt_outs.csv line {line} has no address; its header must be `address,since`")
        try:
            since = _since(row.get("since") or "")
        except ValueError:
            raise BadInput(f"inbox/opt_outs.csv line {line}: since is not a date like 2026-03-31") from None
        entries.append(OptOut(Kind.USER, address, DEFAULT_SCOPES, Mode.ERASE, since or _LONG_AGO, since, source=CSV))
    return entries


_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def _since(text: str) -> datetime | None:
    if not text.strip():
        return None
    instant = datetime.fromisoformat(text.strip())
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def _named_by(users: Iterable[_User], lines: Iterable[OptOut], kept: KeptOptOuts) -> dict[str, list[OptOut]]:
    """The lines of the file that hold for each user: by an address, or by one that was theirs when it was read (O2)."""
    by_address: dict[str, list[OptOut]] = defaultdict(list)
    by_digest: dict[str, list[OptOut]] = defaultdict(list)
    for line in lines:
        by_address[line.subject].append(line)
        by_digest[kept.digest(CSV, line.subject)].append(line)
    named = {}
    for user in users if by_address else ():
        mine = [line for address in user.addresses for line in by_address.get(address, ())]
        mine += [line for digest in kept.digests_of(user.user_id) for line in by_digest.get(digest, ())]
        if mine:
            named[user.user_id] = mine
    return named


def _says_out(user: _User) -> bool:
    return (user.row["opt_out_attribute"] or "").strip().lower() == OPT_OUT_VALUE


def _attribute_entry() -> OptOut:
    return OptOut(Kind.USER, "", DEFAULT_SCOPES, Mode.ERASE, _LONG_AGO, source=ATTRIBUTE)


def _by_value(way: str) -> OptOut:
    """Stands for opt-outs by hand whose times are kept as memberships: what came while they held is not collected."""
    return OptOut(Kind.GROUP, way, DEFAULT_SCOPES, Mode.FUTURE_ONLY, _LONG_AGO, source=way)


_Concerned = defaultdict[str, list[tuple[OptOut, list[Interval]]]]


def _entries_by_user(
    users: Iterable[_User],
    by_hand: Iterable[OptOut],
    groups: Iterable[OptOut],
    memberships: Mapping[str, Mapping[str, list[Interval]]],
) -> _Concerned:
    named: dict[str, list[OptOut]] = defaultdict(list)
    domains: dict[str, list[OptOut]] = defaultdict(list)
    for entry in by_hand:
        (domains if entry.kind is Kind.DOMAIN else named)[entry.subject].append(entry)
    concerned: _Concerned = defaultdict(list)
    for user in users:
        hits = {entry for address in user.addresses for entry in named.get(address, ())}
        if domains:
            hits |= {e for a in user.addresses for parent in _domains_above(a) for e in domains.get(parent, ())}
        if hits:
            concerned[user.user_id] += [(entry, [ALWAYS]) for entry in hits]
    for entry in groups:
        for user_id, intervals in memberships.get(entry.subject, {}).items():
            concerned[user_id].append((entry, intervals))
    return concerned


def _role_scope(
    users: Iterable[_User],
    settings: Settings,
    scope_groups: Collection[str],
    memberships: Mapping[str, Mapping[str, list[Interval]]],
    role_holders: Collection[str] | None,
) -> frozenset[str] | None:
    """User ids inside O3's restriction, None when there is no restriction."""
    groups = set(settings.scope.groups) | set(scope_groups)
    if not groups and not settings.scope.roles:
        return None
    if settings.scope.roles and role_holders is None:
        raise BadInput("[scope] roles is set, but no CRM file user_roles says who holds them; add it or use groups")
    inside = {
        user_id
        for group_id in groups
        for user_id, intervals in memberships.get(group_id, {}).items()
        if intervals[-1].end is None
    }
    holders = set(role_holders or ())
    inside |= {user.user_id for user in users if holders.intersection((user.user_id.lower(), *user.addresses))}
    return frozenset(inside)


def _tables(
    users: Collection[_User],
    standings: Mapping[str, Standing],
    in_role_scope: frozenset[str] | None,
    removed: Iterable[_Removed],
    directory: Directory,
    settings: Settings,
    now: datetime,
    version: str,
) -> Rules:
    from relationship_pipeline.schemas import ABSENCES, DOMAINS, HIDDEN, PEOPLE, READABLE

    readable: list[tuple[str, datetime | None, datetime | None]] = []
    people: list[tuple[Any, ...]] = []
    absences: list[tuple[str, datetime | None, datetime | None]] = []
    hidden: set[str] = set()
    hidden_domains: set[str] = set()
    to_erase: dict[bool, set[str]] = {True: set(), False: set()}
    counts: dict[str, int] = defaultdict(int)
    owners = _owners(users, directory)
    for user in users:
        mine = standings[user.user_id]
        inside = in_role_scope is None or user.user_id in in_role_scope
        counts["opted_out"] += not mine.may_be_read
        counts["out_of_scope"] += not inside
        if inside and not user.row["is_gone"]:
            readable += [(user.user_id, interval.start, interval.end) for interval in mine.collectable]
        present = bool(user.row["account_enabled"]) and not user.row["is_gone"]
        in_scope = inside and bool(mine.counted)
        if in_scope:
            absences += [(user.user_id, absence.start, absence.end) for absence in complement(mine.counted)]
        may_introduce = inside and mine.may_be_read and mine.may_introduce and present
        names = (user.row["display_name"], user.row["primary_address"])
        own = [address for address in user.addresses if owners[address] == user.user_id]
        people += [(address, user.user_id, in_scope, may_introduce, *names, mine.hidden) for address in own]
        if mine.hidden:
            hidden.update(user.addresses)
            if mine.erase_due:
                to_erase[False].update(user.addresses)
    for one in removed:
        (hidden_domains if one.is_domain else hidden).add(one.subject)
        if one.mode is Mode.ERASE:
            to_erase[one.is_domain].add(one.subject)
    internal = settings.internal_domains
    return Rules(
        readable=_table(readable, READABLE),
        people=_table(sorted(people, key=lambda row: row[:2]), PEOPLE),
        absences=_table(absences, ABSENCES),
        hidden=_table([(address,) for address in sorted(hidden)], HIDDEN),
        hidden_domains=_table([(domain,) for domain in sorted(hidden_domains)], DOMAINS),
        internal_domains=_table([(d.lower(),) for d in internal], DOMAINS) if internal else directory.domains,
        erase_due={user_id: mine.hidden for user_id, mine in standings.items() if mine.erase_due},
        erase_addresses=frozenset(to_erase[False]),
        erase_domains=frozenset(to_erase[True]),
        counts=dict(counts),
        version=version,
    )


def _owners(users: Collection[_User], directory: Directory) -> dict[str, str]:
    """The one user whom an address stands for (N2): whom the directory gives it to, else the first who bears it as mail
    address or principal name. Two may: an account made anew beside its gone one, an administrator's second account."""
    members = {user.user_id for user in users}
    given = ((row["address"], row["user_id"]) for row in directory.addresses.to_pylist())
    owners = {address: user_id for address, user_id in given if user_id in members}
    for user in users:
        for address in user.addresses:
            owners.setdefault(address, user.user_id)
    return owners


def _table(rows: Collection[tuple[Any, ...]], schema: pa.Schema) -> pa.Table:
    import pyarrow as pa

    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)
