"""The tenant's directory and the outside world: users, groups, companies and contacts, each derived from the seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import msgspec

from relationship_pipeline.simulator import names
from relationship_pipeline.simulator.hashing import guid, mix, seed_of, stream_of_chance, unit
from relationship_pipeline.simulator.scenario import Scenario
from relationship_pipeline.simulator.times import DAY

TEAM_SIZE = 8
_LEGACY_DN = "/o=ExchangeLabs/ou=Exchange Administrative Group (FYDIBOHF23SPDLT)/cn=Recipients/cn="
GLOBAL_ADMINISTRATOR = "62e90394-69f5-4237-9190-012177145e10"

# The sigma that puts the 99th percentile of mail a month at 16 times the median (500 and 8,000 in graph.md 8.5).
_ACTIVITY_SIGMA = 1.192
SPECIAL_KINDS = ("shared", "room", "guest", "disabled", "unlicensed", "on_premises")


class Recipient:
    """One name and address as they stand in a message, with its JSON made once.

    `canonical` is the address a careful reader arrives at (product.md N1), `""` where none can be told.
    """

    __slots__ = ("address", "canonical", "name", "raw", "user")

    def __init__(self, name: str | None, address: str, canonical: str | None = None, user: int = -1) -> None:
        self.name = name
        self.address = address
        self.canonical = address.strip().lower() if canonical is None else canonical
        self.user = user  # index of the internal person, -1 for others
        self.raw = msgspec.Raw(msgspec.json.encode({"emailAddress": {"name": name, "address": address}}))


@dataclass(frozen=True, slots=True)
class User:
    """A directory user. `kind` is member or one of SPECIAL_KINDS or admin; times are seconds since 1970 or None."""

    index: int
    oid: str
    kind: str
    name: names.PersonName
    display_name: str
    upn: str
    mail: str | None
    proxy_addresses: tuple[str, ...]
    department: str | None
    title: str | None
    created: int
    joined: int | None
    left: int | None
    activity: float  # message copies a month
    personal_address: str | None

    @property
    def enabled(self) -> bool:
        return self.kind not in ("shared", "room", "disabled")

    @property
    def user_type(self) -> str | None:
        if self.kind == "guest":
            return "Guest"
        return None if self.index % 97 == 13 else "Member"  # accounts from before 2014 have none

    @property
    def licensed(self) -> bool:
        return self.kind in ("member", "disabled")

    @property
    def has_mailbox(self) -> bool:
        return self.kind in ("member", "shared", "room", "disabled")

    def active_at(self, second: int) -> bool:
        return (self.joined is None or self.joined <= second) and (self.left is None or second < self.left)


@dataclass(frozen=True, slots=True)
class Contact:
    """An outside person. `second` is another address of the same person, or None."""

    company: int
    place: int
    contact_id: str
    name: names.PersonName
    address: str
    second: str | None
    title: str


@dataclass(frozen=True, slots=True)
class Company:
    index: int
    account_id: str
    name: str
    domain: str
    size: int


@dataclass
class Group:
    """A directory group; members are user indices and ids of nested groups."""

    group_id: str
    name: str
    mail: str | None
    security: bool
    rule: str | None = None
    users: set[int] = field(default_factory=set)
    groups: set[str] = field(default_factory=set)
    hidden_fields: bool = False  # members come with id and type only, as when a right is missing
    pending: list[tuple[float, int, bool]] = field(default_factory=list)  # when, who, whether in: a rule that lags

    def settle(self, now: float) -> None:
        """Let changes whose time has come take effect."""
        for change in [c for c in self.pending if c[0] <= now]:
            self.pending.remove(change)
            (self.users.add if change[2] else self.users.discard)(change[1])


class People:
    """Everyone in and around the tenant of a scenario."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.seed = seed_of("tenant", scenario.seed)
        self.tenant_id = guid(self.seed, "tenant")
        self.domain = scenario.tenant_domain
        self.initial_domain = scenario.tenant_domain.split(".")[0] + ".onmicrosoft.com"
        self.verified_domains = (self.domain, f"eu.{self.domain}", self.initial_domain)
        self.companies = max(8, round(scenario.users * 0.7))
        self.company = lru_cache(maxsize=65536)(self._company)
        self.contact = lru_cache(maxsize=262144)(self._contact)
        self.spelled = lru_cache(maxsize=262144)(self._spelled)
        self.contact_spelled = lru_cache(maxsize=262144)(self._contact_spelled)

    @cached_property
    def users(self) -> Sequence[User]:
        """Members first (index 0 to users - 1), then special users, the administrator last."""
        count = self.scenario.users
        weights = []
        for index in range(count):
            rng = stream_of_chance(mix(self.seed ^ index))
            weights.append(rng.lognormvariate(0.0, _ACTIVITY_SIGMA))
        scale = self.scenario.messages_per_month / sum(weights)
        locals_taken: set[str] = set()
        users = [self._user(index, "member", weights[index] * scale, locals_taken) for index in range(count)]
        typical = sorted(user.activity for user in users)[count // 2]
        if self.scenario.realism.special_users:
            for number in range(max(1, count // 40)):
                for kind in SPECIAL_KINDS:
                    factor = {"shared": 1.5, "disabled": 0.5, "room": 0.0}.get(kind, 0.0)
                    users.append(self._user(len(users), kind, typical * factor, locals_taken, number))
        users.append(self._user(len(users), "admin", 0.0, locals_taken))
        return users

    def _user(self, index: int, kind: str, activity: float, taken: set[str], number: int = 0) -> User:
        scenario, realism = self.scenario, self.scenario.realism
        chance = mix(self.seed ^ mix(index + 1))
        start, end = scenario.window
        name = names.person_name(chance, realism.international_names)
        local = f"{names.ascii_local(name.given)}.{names.ascii_local(name.surname)}"
        display = name.display
        if kind == "shared":
            local, display = (f"{('info', 'sales', 'support', 'orders')[number % 4]}{number // 4 or ''}", "")
            display = local.capitalize()
        elif kind == "room":
            local, display = f"room.{101 + number}", f"Conference Room {101 + number}"
        elif kind == "admin":
            local, display = "admin", "Tenant Administrator"
        while local in taken:
            local += str(chance % 9 + 1)
        taken.add(local)
        oid = guid(self.seed, "user", index)
        domain = f"eu.{self.domain}" if chance >> 60 == 7 else self.domain
        mail: str | None = f"{local.title() if chance >> 61 == 2 else local}@{domain}"
        upn = f"{local}@{domain}"
        proxies = [f"SMTP:{mail}", f"smtp:{local}@{self.initial_domain}"]
        if kind in ("member", "disabled"):
            proxies.append(
                f"smtp:{names.ascii_local(name.given)[:1]}{names.ascii_local(name.surname)}{index}@{self.domain}"
            )
            proxies.append(f"X500:{_LEGACY_DN}{oid.replace('-', '')}-{local}")
        if kind == "guest":
            company = self.company(number % self.companies)
            mail = self.contact(company.index, 0).address
            upn = f"{mail.replace('@', '_')}#EXT#@{self.initial_domain}"
            proxies = [f"SMTP:{mail}"]
        elif kind in ("unlicensed", "admin"):
            upn, mail = f"{local}@{self.initial_domain}", None
            proxies = []
        joined = left = None
        if kind == "member" and unit(mix(chance)) < realism.joiners_and_leavers:
            moment = start + int((end - start) * (0.15 + 0.7 * unit(mix(chance ^ 1))))
            joined, left = (moment, None) if chance & 1 else (None, moment)
        elif kind == "disabled":
            left = start + int((end - start) * (0.3 + 0.4 * unit(chance)))
        team = index // TEAM_SIZE
        personal = None
        if kind == "member" and unit(mix(chance ^ 2)) < realism.second_addresses / 4:
            personal = f"{local}.{chance % 900 + 100}@{names.FREE_MAIL[chance % len(names.FREE_MAIL)]}"
        person = kind in ("member", "disabled", "unlicensed", "on_premises")
        return User(
            index=index, oid=oid, kind=kind, name=name, display_name=display, upn=upn, mail=mail,
            proxy_addresses=tuple(proxies),
            department=names.DEPARTMENTS[team % len(names.DEPARTMENTS)] if person else None,
            title=names.TITLES[chance % len(names.TITLES)] if person else None,
            created=joined or start - DAY * (30 + chance % 2000), joined=joined, left=left,
            activity=max(activity, 1.0) if kind == "member" else activity, personal_address=personal,
        )  # fmt: skip

    @cached_property
    def by_key(self) -> dict[str, User]:
        """Users by object id and by lower-case principal name."""
        return {key: user for user in self.users for key in (user.oid, user.upn.lower())}

    @property
    def members(self) -> range:
        return range(self.scenario.users)

    @property
    def administrator(self) -> User:
        return self.users[-1]

    def team(self, index: int) -> range:
        """The members who work closely together, this one among them; special users have no team."""
        if index >= self.scenario.users:
            return range(index, index + 1)
        first = index // TEAM_SIZE * TEAM_SIZE
        return range(first, min(first + TEAM_SIZE, self.scenario.users))

    def team_address(self, team: int) -> Recipient:
        department = names.DEPARTMENTS[team % len(names.DEPARTMENTS)].replace("&", "and").replace(" ", "-").lower()
        local = f"team-{department}-{team}"
        return self._list_recipient(local, f"Team {department.title()} {team}")

    @lru_cache(maxsize=1024)  # noqa: B019 - lives as long as the process
    def _list_recipient(self, local: str, name: str) -> Recipient:
        return Recipient(name, f"{local}@{self.domain}")

    @lru_cache(maxsize=65536)  # noqa: B019 - lives as long as the process
    def personal(self, index: int) -> Recipient | None:
        """A colleague's private address outside the company, for those who have one."""
        user = self.users[index]
        return Recipient(user.display_name, user.personal_address) if user.personal_address else None

    @lru_cache(maxsize=65536)  # noqa: B019 - lives as long as the process
    def newsletter(self, company: int, local: str) -> Recipient:
        """The automatic sender of a company."""
        firm = self.company(company)
        return Recipient(firm.name, f"{local}@{_ascii_domain(firm.domain)}")

    @lru_cache(maxsize=65536)  # noqa: B019 - lives as long as the process
    def guest_list(self, number: int) -> Recipient:
        """One of the many strangers on a very long list of recipients."""
        return Recipient(f"Guest {number}", f"guest{number}@event-list.example")

    def everyone_address(self) -> Recipient:
        return self._list_recipient("all", "All Employees")

    @cached_property
    def groups(self) -> dict[str, Group]:
        """Groups by id. Two hold opt-outs: one with direct and nested members, one dynamic by department."""
        groups: list[Group] = []
        count = self.scenario.users
        for team in range((count + TEAM_SIZE - 1) // TEAM_SIZE):
            address = self.team_address(team)
            group = Group(guid(self.seed, "group", "team", team), address.name or "", address.address, False)
            group.users |= set(self.team(team * TEAM_SIZE))
            groups.append(group)
        everyone = Group(guid(self.seed, "group", "all"), "All Employees", self.everyone_address().address, False)
        everyone.users |= set(self.members)
        nested = Group(guid(self.seed, "group", "nested"), "Works Council", None, True)
        nested.users |= {index for index in self.members if index % 29 == 5}
        direct = Group(self.opt_out_group, "Analytics Opt-out", None, True)
        direct.users |= {index for index in self.members if index % 31 == 7}
        direct.groups.add(nested.group_id)
        rule = 'user.department -eq "M&A"'
        dynamic = Group(self.dynamic_opt_out_group, "M&A Staff", None, True, rule=rule)
        dynamic.users |= {user.index for user in self.users[:count] if user.department == "M&A"}
        sellers = Group(guid(self.seed, "group", "sellers"), "Sellers", None, True)
        sellers.users |= {user.index for user in self.users[:count] if user.department in ("Sales", "Customer Success")}
        groups += [everyone, nested, direct, dynamic, sellers]
        return {group.group_id: group for group in groups}

    @property
    def opt_out_group(self) -> str:
        return guid(self.seed, "group", "opt-out")

    @property
    def dynamic_opt_out_group(self) -> str:
        return guid(self.seed, "group", "dynamic")

    def transitive_users(self, group_id: str) -> list[int]:
        """Indices of all users in a group, nested groups included, in order."""
        found: set[int] = set()
        seen: set[str] = set()
        waiting = [group_id]
        while waiting:
            current = waiting.pop()
            if current in seen or current not in self.groups:
                continue
            seen.add(current)
            found |= self.groups[current].users
            waiting += self.groups[current].groups
        return sorted(found)

    def _company(self, index: int) -> Company:
        name, domain = names.company_name(self.seed, index, self.scenario.realism.international_names)
        size = 2 + int(8 / (0.15 + unit(mix(self.seed ^ (index * 31 + 7)))))
        return Company(index, guid(self.seed, "account", index), name, domain, size)

    def _contact(self, company: int, place: int) -> Contact:
        realism = self.scenario.realism
        firm = self.company(company)
        chance = mix(self.seed ^ mix((company << 20) + place + 77))
        name = names.person_name(chance, realism.international_names)
        given, surname = names.ascii_local(name.given), names.ascii_local(name.surname)
        styles = (f"{given}.{surname}", f"{given[:1]}{surname}", f"{given}", f"{surname}.{given}")
        local = styles[mix(company) % 4] + (str(place) if place and (mix(company) % 4 in (1, 2) or place > 40) else "")
        domain = firm.domain
        if chance >> 56 < 9:  # a few work from free mail
            domain, local = names.FREE_MAIL[chance % len(names.FREE_MAIL)], f"{given}.{surname}.{chance % 9000 + 1000}"
        second = None
        if unit(mix(chance)) < realism.second_addresses:
            second = f"{given}{surname}{chance % 90 + 10}@{names.FREE_MAIL[(chance >> 8) % len(names.FREE_MAIL)]}"
        return Contact(
            company, place, guid(self.seed, "contact", company, place), name, f"{local}@{domain}", second,
            names.CONTACT_TITLES[chance % len(names.CONTACT_TITLES)],
        )  # fmt: skip

    def contacts(self) -> Iterator[Contact]:
        """All outside contacts, company by company."""
        for index in range(self.companies):
            for place in range(self.company(index).size):
                yield self.contact(index, place)

    def internal(self, index: int, chance: int = 0) -> Recipient:
        """How a colleague stands in a message: `chance` decides whether in some odd form."""
        return self.spelled(index, self._form(chance, 7))

    def outside(self, company: int, place: int, chance: int = 0) -> Recipient:
        """How a contact stands in a message; one with two addresses uses the second in a quarter of the mail."""
        form = self._form(chance, 8)
        if not form and self.scenario.realism.second_addresses and not (chance >> 40) & 3:
            form = 9
        return self.contact_spelled(company, place, form)

    def _form(self, chance: int, forms: int) -> int:
        threshold = int(self.scenario.realism.odd_addresses * 4096)
        return 1 + (chance >> 12) % forms if (chance & 4095) < threshold else 0

    def _spelled(self, index: int, form: int) -> Recipient:
        user = self.users[index]
        name, mail = user.display_name, user.mail or user.upn
        plain = mail.lower()
        if form == 3 and len(user.proxy_addresses) > 2:
            return Recipient(name, user.proxy_addresses[2][5:], user=index)
        if form == 4 and len(user.proxy_addresses) > 3:
            return Recipient(name, user.proxy_addresses[3][5:].upper(), plain, index)
        return _odd_recipient(name, mail, plain, form, index)

    def _contact_spelled(self, company: int, place: int, form: int) -> Recipient:
        contact = self.contact(company, place)
        name = contact.name.display
        address = contact.second if contact.second and form == 9 else contact.address
        local, _, domain = address.partition("@")
        canonical = f"{local}@{_ascii_domain(domain)}"
        if form == 4:
            return Recipient(name, f"{local}+crm@{domain}", f"{local}+crm@{_ascii_domain(domain)}")
        if form == 8:
            return Recipient(name, canonical, canonical)
        return _odd_recipient(name, address, canonical, form, -1)


def _odd_recipient(name: str, address: str, canonical: str, form: int, user: int) -> Recipient:
    """The odd forms of graph.md 7.2 no. 19, by number; 0, 3 and 4 are plain here."""
    if form == 1:
        return Recipient(name, address.upper(), canonical, user)
    if form == 2:
        return Recipient(f"'{name}'", f"'{name}' <{address}>", canonical, user)
    if form == 5:
        return Recipient(name, f"mailto:{address}", canonical, user)
    if form == 6:
        return Recipient(f"'{address}'", f"  '{address}' ", canonical, user)
    if form == 7:
        return Recipient(name, "", "", user)
    return Recipient(name, address, canonical, user)


@lru_cache(maxsize=65536)
def _ascii_domain(domain: str) -> str:
    if domain.isascii():
        return domain
    import idna

    return idna.encode(domain, uts46=True).decode()
