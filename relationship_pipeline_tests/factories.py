"""Small tenants as Data Connect export folders: builders of single rows, a writer, and a hypothesis strategy.

The builders give rows as the copy activity writes them (`Message_v1` and so on, camelCase) with every column a real
row has and sane defaults; a test names only what it is about. `tenants()` draws small random tenants with what real
mail does to a recount (graph.md 7.2 and 8.5). Nothing here imports the package under test.
"""

import base64
import csv
import gzip
import json
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

_NAMESPACE = uuid.UUID("5a0fbe9c-9c35-4f0a-9d0c-0c6a1f3d7c11")
TENANT = str(uuid.uuid5(_NAMESPACE, "tenant"))
X500 = "/o=ExchangeLabs/ou=Exchange Administrative Group (FYDIBOHF23SPDLT)/cn=Recipients/cn="
ZERO_TIME = "0001-01-01T00:00:00Z"


def guid(name):
    """The GUID that stands for a name, the same in every run."""
    return uuid.uuid5(_NAMESPACE, name)


def oid(address):
    """The directory object id of the user with this primary address: the `puser` of his rows."""
    return str(guid(f"user {address}"))


def iso(moment):
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def x500(address):
    """The legacy Exchange name of the user with this primary address."""
    return X500 + guid(f"x500 {address}").hex + "-" + address.split("@")[0]


def conversation_id(name, mailbox):
    """A conversationId as Exchange writes it: 59 bytes, 00 04 24 00, the mailbox's GUID as text, 00 10 00, the GUID."""
    text = str(guid(f"mailbox {mailbox}")).encode()
    return base64.b64encode(b"\x00\x04\x24\x00" + text + b"\x00\x10\x00" + guid(f"conversation {name}").bytes).decode()


def conversation_index(name):
    """A conversationIndex of 22 bytes: one reserved, five of time, the conversation's GUID."""
    return base64.b64encode(b"\x01\xd6\xf9\xc4\xca\x41" + guid(f"conversation {name}").bytes).decode()


def folder_id(mailbox, name):
    return "AQMk" + guid(f"folder {mailbox} {name}").hex


def party(address, name=None):
    return {"emailAddress": {"name": name or address, "address": address}}


def _row(mailbox, **columns):
    return columns | {
        "puser": oid(mailbox),
        "ptenant": TENANT,
        "pAdditionalInfo": None,
        "rowinformation": {
            "errorInformation": None,
            "userReturnedNoData": False,
            "isUserSummaryRow": False,
            "userHasCompleteData": False,
        },
    }


def user(address, *, name=None, aliases=(), user_type="Member", enabled=True, **columns):
    """A `User_v1` row; `aliases` become `smtp:` proxy addresses, an X500 one is always there."""
    proxies = [f"SMTP:{address}", *(f"smtp:{alias}" for alias in aliases), f"X500:{x500(address)}"]
    row = {
        "id": oid(address),
        "userPrincipalName": address,
        "mail": address,
        "displayName": name or address.split("@")[0].title(),
        "accountEnabled": enabled,
        "userType": user_type,
        "proxyAddresses": proxies,
    }
    return _row(address, **(row | columns))


def message(
    mailbox,
    *,
    sender,
    sender_name=None,
    to=(),
    cc=(),
    at,
    sent="same",
    message_id="unique",
    conversation=None,
    folder="Inbox",
    headers=None,
    item=None,
    **columns,
):
    """A `Message_v1` row: one copy of an email, in the mailbox of the user with primary address `mailbox`.

    `at` is receivedDateTime; `sent` is the same unless given (None: missing). `message_id` is made from sender and
    time unless given. `conversation` is a name; each mailbox gets its own conversationId for it.
    """
    if message_id == "unique":
        message_id = f"<{guid(f'{sender} {to} {cc} {iso(at)}').hex}@mail.example>"
    item = item or f"{mailbox} {sender} {to} {cc} {iso(at)} {message_id} {folder}"
    row = {
        "id": "AAMk" + guid(f"item {item}").hex,
        "createdDateTime": iso(at),
        "lastModifiedDateTime": iso(at),
        "receivedDateTime": iso(at),
        "sentDateTime": iso(at if sent == "same" else sent),
        "internetMessageId": message_id,
        "conversationId": conversation_id(conversation, mailbox) if conversation else None,
        "conversationIndex": conversation_index(conversation) if conversation else None,
        "parentFolderId": folder_id(mailbox, folder),
        "isDraft": False,
        "isRead": True,
        "hasAttachments": False,
        "importance": "normal",
        "from": None if sender is None else party(sender, sender_name),
        "sender": None if sender is None else party(sender),
        "toRecipients": [party(address) for address in to],
        "ccRecipients": [party(address) for address in cc],
        "bccRecipients": [],
        "internetMessageHeaders": [{"name": name, "value": value} for name, value in (headers or {}).items()],
        "ODataType": "#microsoft.graph.message",
    }
    return _row(mailbox, **(row | columns))


def email(mailboxes, **options):
    """The copies of one email in several mailboxes: a list of `message` rows."""
    return [message(mailbox, **options) for mailbox in mailboxes]


def event(
    mailbox,
    *,
    organizer,
    attendees=(),
    start,
    minutes=30,
    uid="unique",
    response="none",
    **columns,
):
    """A `CalendarView_v0` row: a meeting in one calendar.

    `attendees` are addresses, or pairs of address and answer (accepted, tentativelyAccepted, declined, none).
    `response` is the answer of the calendar's owner (organizer where it is his meeting). Enum values are decorated as
    the copy activity decorates them.
    """
    if uid == "unique":
        uid = "040000008200E00074C5B7101A82E008" + guid(f"{organizer} {iso(start)}").hex.upper()
    is_organizer = mailbox == organizer
    end = start + timedelta(minutes=minutes)
    pairs = [(attendee, "none") if isinstance(attendee, str) else attendee for attendee in attendees]
    row = {
        "id": "AAMk" + guid(f"event {mailbox} {uid} {iso(start)}").hex,
        "iCalUId": uid,
        "createdDateTime": iso(start - timedelta(days=7)),
        "lastModifiedDateTime": iso(start - timedelta(days=7)),
        "type": "singleInstance",
        "seriesMasterId": None,
        "isAllDay": False,
        "isCancelled": False,
        "isOrganizer": is_organizer,
        "isDraft": False,
        "sensitivity": "normal",
        "showAs": "busy",
        "responseStatus": _answer("organizer" if is_organizer else response),
        "start": {"dateTime": f"{start:%Y-%m-%dT%H:%M:%S}.0000000", "timeZone": "UTC"},
        "end": {"dateTime": f"{end:%Y-%m-%dT%H:%M:%S}.0000000", "timeZone": "UTC"},
        "organizer": party(organizer),
        "attendees": [
            {"type": "microsoft.graph.attendeeType'required'", "status": _answer(answer), **party(address)}
            for address, answer in pairs
        ],
        "ODataType": "#microsoft.graph.event",
    }
    return _row(mailbox, **(row | columns))


def _answer(response):
    return {"response": f"microsoft.graph.responseType'{response}'", "time": ZERO_TIME}


def meeting(mailboxes, *, organizer, attendees=(), **options):
    """The copies of one meeting in several calendars; each owner's answer is the one `attendees` gives."""
    answers = dict((pair, "none") if isinstance(pair, str) else pair for pair in attendees)
    return [
        event(mailbox, organizer=organizer, attendees=attendees, response=answers.get(mailbox, "none"), **options)
        for mailbox in mailboxes
    ]


def mail_folder(mailbox, name, *, parent=None):
    """A `MailFolder_v0` row."""
    above = parent or "Top of Information Store"
    return _row(mailbox, id=folder_id(mailbox, name), displayName=name, parentFolderId=folder_id(mailbox, above))


def summary_row(mailbox):
    """The per-user summary row that ends a user's rows."""
    row = _row(mailbox, id=None)
    row["rowinformation"] |= {"isUserSummaryRow": True, "userHasCompleteData": True}
    return row


def write_export(folder, *, pascal=(), files=1, compress=False, **datasets):
    """Write rows as an export folder, `metadata/` included.

    `datasets` maps a data set's folder (`Message_v1`, …) to its rows; those named in `pascal` get PascalCase keys.
    Rows are dealt over `files` files per data set, gzipped if `compress`. Returns the folder.
    """
    for dataset, rows in datasets.items():
        place = folder / dataset
        place.mkdir(parents=True, exist_ok=True)
        for number in range(files):
            lines = [
                json.dumps(_pascal(row) if dataset in pascal else row, ensure_ascii=False) + "\n"
                for row in list(rows)[number::files]
            ]
            data = "".join(lines).encode()
            name = f"JsonDataset_{guid(f'{dataset} {number}').hex[:12]}.json"
            if compress:
                (place / f"{name}.gz").write_bytes(gzip.compress(data, mtime=0))
            else:
                (place / name).write_bytes(data)
    (folder / "metadata").mkdir(parents=True, exist_ok=True)
    (folder / "metadata" / "run.json").write_text('{"note": "not data"}\n')
    return folder


def _pascal(value):
    if isinstance(value, dict):
        kept = ("puser", "ptenant", "pAdditionalInfo", "rowinformation", "ODataType")
        return {
            key if key in kept else key[0].upper() + key[1:]: item if key in kept else _pascal(item)
            for key, item in value.items()
        }
    return [_pascal(item) for item in value] if isinstance(value, list) else value


def write_crm(folder, **tables):
    """Write lists of dicts as `<table>.csv`, the columns being those of all rows. Returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for table, rows in tables.items():
        columns = list(dict.fromkeys(column for row in rows for column in row))
        with (folder / f"{table}.csv").open("w", newline="", encoding="utf-8") as lines:
            writer = csv.DictWriter(lines, columns)
            writer.writeheader()
            writer.writerows(rows)
    return folder


@dataclass
class Tenant:
    """A small tenant: rows by data set, CRM rows by table, and what a run over it is told."""

    as_of: datetime
    months: list[str]
    internal_domains: list[str]
    datasets: dict[str, list[dict]]
    crm: dict[str, list[dict]] = field(default_factory=dict)
    pascal: tuple[str, ...] = ()
    compress: bool = False

    def write(self, folder):
        """Write `<folder>/export`, and `<folder>/crm` if there are CRM rows; returns both paths (None without CRM)."""
        export = write_export(folder / "export", files=2, pascal=self.pascal, compress=self.compress, **self.datasets)
        return export, write_crm(folder / "crm", **self.crm) if self.crm else None


# --- random tenants ---------------------------------------------------------------------------------------------------

AS_OF = datetime(2025, 4, 20, 12, tzinfo=UTC)
MONTHS = ["2025-02", "2025-03", "2025-04"]
FIRST_INSTANT = datetime(2025, 2, 1, tzinfo=UTC)
INTERNAL_DOMAINS = ["contoso.com"]
COLLEAGUES = [
    "megan@contoso.com",
    "alex@contoso.com",
    "lidia@eu.contoso.com",
    "joni@contoso.com",
    "patti@contoso.com",
    "diego@contoso.com",
]
ALIASES = {
    "megan@contoso.com": ["m.bowen@contoso.com"],
    "alex@contoso.com": ["alex@old-contoso.example"],
    "joni@contoso.com": ["joni.sherman@eu.contoso.com"],
}
NOT_IN_SCOPE = "temp@contoso.com"
CONTACTS = [
    "ana@fabrikam.com",
    "bert@fabrikam.com",
    "carla@gmail.com",
    "dora@shop.github.io",
    "emil@bücher.example",
    "fay+news@eu.fabrikam.com",
    "noreply@fabrikam.com",
]
FOLDERS = ["Inbox", "Sent Items", "Projects", "Drafts", "Junk Email", "Deleted Items", "Old"]
UNRESOLVED = X500 + "gone"

_SPELLINGS = {
    "plain": lambda address: address,
    "upper": lambda address: address.upper(),
    "named": lambda address: f"'Some Name' <{address}>",
    "mailto": lambda address: f"MAILTO:{address}",
    "quoted": lambda address: f" '{address}' ",
    "alias": lambda address: ALIASES.get(address, [address])[0],
    "x500": lambda address: x500(address).upper() if address in COLLEAGUES else address,
}
_DELAYS = [timedelta(0), timedelta(seconds=90), timedelta(hours=5), timedelta(days=3)]
_SKEWS = {
    "none": lambda at: at,
    "a minute": lambda at: at - timedelta(minutes=1),
    "29 days early": lambda at: at - timedelta(days=29),
    "31 days early": lambda at: at - timedelta(days=31),
    "23 hours late": lambda at: at + timedelta(hours=23),
    "two days late": lambda at: at + timedelta(days=2),
    "2044": lambda at: at.replace(year=2044),
    "1601": lambda at: at.replace(year=1601),
    "missing": lambda at: None,
}
_ANSWERED_AFTER = [None, timedelta(hours=2), timedelta(hours=168), timedelta(hours=168, minutes=1)]
# Most mail lies in ordinary folders, so that most of a random tenant counts.
_PLACES = ["Inbox", "Sent Items", "Projects", "Inbox", "Sent Items", "Projects", *FOLDERS[3:]]
_HEADERS = [{}, {"List-Unsubscribe": "<mailto:x@y.example>"}, {"Auto-Submitted": "no"}, {"Precedence": "bulk"}]


def _minutes():
    """Minutes after the first instant up to a day after `as_of`: often in one week (answers), or at a month's end."""
    span = int((AS_OF - FIRST_INSTANT) / timedelta(minutes=1))
    borders = [int((datetime(2025, month, 1, tzinfo=UTC) - FIRST_INSTANT) / timedelta(minutes=1)) for month in (3, 4)]
    near_borders = st.builds(lambda border, step: border + step, st.sampled_from(borders), st.integers(-2, 1))
    one_week = st.integers(60_000, 60_000 + 8 * 24 * 60)
    return one_week | near_borders | st.integers(0, span + 24 * 60)


@st.composite
def _emails(draw, colleagues, contacts):
    """A function from a number to the copies of one email and of an answer to it, if it has one.

    All times end in that second, so that no two emails share an instant.
    """
    minutes = draw(_minutes())
    everybody = [*contacts, *colleagues, NOT_IN_SCOPE]
    sender = draw(st.sampled_from(everybody))
    to = [draw(st.sampled_from(colleagues if sender in contacts else contacts))]
    to += draw(st.lists(st.sampled_from([*colleagues, *contacts]), max_size=2))
    cc = draw(st.lists(st.sampled_from(everybody), max_size=2, unique=True))
    audience = draw(st.sampled_from([(), (), (), (UNRESOLVED,), tuple(f"list{n}@fabrikam.com" for n in range(51))]))
    skew = draw(st.sampled_from(["none"] * 8 + list(_SKEWS)))
    with_id = draw(st.sampled_from([True, True, True, False])) or skew == "missing"
    kind = draw(st.sampled_from(["message"] * 5 + ["eventMessageRequest"]))
    conversation = draw(st.sampled_from(["one", "two", None]))
    answered_after = draw(st.sampled_from(_ANSWERED_AFTER))
    headers = draw(st.sampled_from(_HEADERS))
    sender_name = draw(st.sampled_from([None, "", "'Anaya, Ana'", " Ana <ana@fabrikam.com>", "ana@fabrikam.com"]))
    places = draw(
        st.lists(
            st.tuples(
                st.sampled_from(colleagues),
                st.sampled_from(_DELAYS),
                st.sampled_from(_PLACES),
                st.sampled_from(list(_SPELLINGS)),
                st.booleans(),
            ),
            min_size=1,
            max_size=3,
            unique_by=lambda place: place[0],
        )
    )

    def copies(number):
        at = FIRST_INSTANT + timedelta(minutes=minutes, seconds=number)
        rows = []
        for mailbox, delay, folder, spelling, without_cc in places:
            # Without a message id, only copies with the same addresses and recipients are one email.
            spell = _SPELLINGS[spelling if with_id or spelling not in ("alias", "x500") else "plain"]
            domain = "MAIL.Example" if spelling == "upper" else "mail.example"
            rows.append(
                message(
                    mailbox,
                    sender=spell(sender),
                    sender_name=sender_name,
                    to=[*map(spell, to), *audience],
                    cc=[] if without_cc and with_id else [*map(spell, cc)],
                    at=at + delay,
                    sent=_SKEWS[skew](at),
                    message_id=f"<Mail-{number}@{domain}>" if with_id else None,
                    conversation=conversation,
                    folder=folder,
                    headers=headers,
                    item=f"{mailbox} mail {number}",
                    ODataType=f"#microsoft.graph.{kind}",
                    isDraft=folder == "Drafts",
                )
            )
        if answered_after:
            rows.append(
                message(
                    places[0][0],
                    sender=to[0],
                    to=[sender],
                    at=at + answered_after,
                    message_id=f"<Answer-{number}@mail.example>",
                    conversation=conversation,
                )
            )
        return rows

    return copies


@st.composite
def _meetings(draw, colleagues, contacts):
    """A function from a number to the copies of one meeting, starting that many minutes after a half hour."""
    minutes = draw(_minutes() | st.integers(113_760, 250_000))
    organizer = draw(st.sampled_from([*colleagues, *contacts, NOT_IN_SCOPE]))
    answers = st.sampled_from(["accepted", "none", "tentativelyAccepted", "declined"])
    invited = draw(
        st.lists(
            st.tuples(st.sampled_from([*contacts, *colleagues]), answers),
            min_size=1,
            max_size=4,
            unique_by=lambda pair: pair[0],
        )
    )
    calendars = draw(st.lists(st.sampled_from(colleagues), min_size=1, max_size=3, unique=True))
    length = draw(st.sampled_from([30, 60, 0, 24 * 60 + 30]))
    oddity = draw(
        st.sampled_from(
            [{}, {}, {}, {"isCancelled": True}, {"isAllDay": True}, {"sensitivity": "private"}, {"isDraft": True}]
        )
    )

    def copies(number):
        return meeting(
            calendars,
            organizer=organizer,
            attendees=invited,
            start=FIRST_INSTANT + timedelta(minutes=minutes - minutes % 30 + number),
            minutes=length,
            uid=f"UID-{number}",
            **oddity,
        )

    return copies


@st.composite
def _crm(draw, colleagues, contacts, messages, events):
    """A small CRM: two accounts, contacts (one with two addresses), an opportunity, a lead, stakeholders, calls, and what
    some of the emails and meetings are regarding, whoever took part."""
    owner, member = draw(st.sampled_from(colleagues)), draw(st.sampled_from(colleagues))
    calls = draw(
        st.lists(
            st.tuples(
                st.sampled_from(colleagues),
                st.sampled_from(contacts),
                st.booleans(),
                _minutes(),
                st.sampled_from([(None, None), ("op1", "opportunity"), ("le1", "lead"), ("co1", "contact")]),
            ),
            max_size=3,
        )
    )
    message_ids = sorted({row["internetMessageId"] for row in messages if row["internetMessageId"]})
    occurrences = sorted({(row["iCalUId"], row["start"]["dateTime"].rstrip("Z") + "Z") for row in events})
    state, closed_at = draw(
        st.sampled_from([(0, None), (0, None), (0, "2020-01-01T00:00:00Z"), (1, None), (2, "2022-01-01T00:00:00Z")])
    )
    second_address = draw(st.sampled_from([None, "carla@gmail.com", "ana.private@gmail.com"]))
    return {
        "accounts": [
            {
                "accountid": "ac1",
                "name": "Fabrikam",
                "websiteurl": "https://www.fabrikam.com/",
                "_primarycontactid_value": "co1",
            },
            {"accountid": "ac2", "name": "Books", "websiteurl": None, "_primarycontactid_value": None},
        ],
        "contacts": [
            {
                "contactid": "co1",
                "fullname": "Ana Anaya",
                "emailaddress1": "Ana@Fabrikam.com",
                "emailaddress2": second_address,
                "_parentcustomerid_value": draw(st.sampled_from(["ac1", None])),
            },
            {
                "contactid": "co2",
                "fullname": "Emil Berg",
                "emailaddress1": "emil@bücher.example",
                "emailaddress2": None,
                "_parentcustomerid_value": draw(st.sampled_from(["ac2", None])),
            },
        ],
        "opportunities": [
            {
                "opportunityid": "op1",
                "name": "Shelves",
                "_parentaccountid_value": draw(st.sampled_from(["ac1", None])),
                "_parentcontactid_value": draw(st.sampled_from(["co2", None])),
                "_customerid_value": None,
                "_ownerid_value": oid(owner),
                "statecode": state,
                "actualclosedate": closed_at,
            }
        ],
        "opportunity_team": [{"opportunityid": "op1", "systemuserid": oid(member)}],
        "leads": [
            {
                "leadid": "le1",
                "fullname": "Dora Dahl",
                "companyname": "Shop",
                "emailaddress1": "dora@shop.github.io",
                "_ownerid_value": draw(st.sampled_from([owner, oid(owner)])),
                "statecode": draw(st.sampled_from([0, None, 2])),
            }
        ],
        "stakeholders": [
            {"record_type": "opportunity", "record_id": "op1", "contactid": "co2", "role": "Decision maker"},
            {"record_type": "lead", "record_id": "le1", "contactid": draw(st.sampled_from(["co1", "co2"]))},
        ],
        "phonecalls": [
            {
                "activityid": f"ca{number}",
                "from_address": colleague if outgoing else contact,
                "to_addresses": contact if outgoing else colleague,
                "directioncode": "true" if outgoing else "false",
                "actualstart": iso(FIRST_INSTANT + timedelta(minutes=minutes, seconds=50 + number)),
                "actualdurationminutes": 10,
                "_regardingobjectid_value": record,
                "regarding_type": record_type,
            }
            for number, (colleague, contact, outgoing, minutes, (record, record_type)) in enumerate(calls)
        ],
        "emails": [
            {"activityid": f"em{number}", "messageid": message_id} | draw(_regarding)
            for number, message_id in enumerate(draw(_some(message_ids)))
        ],
        "appointments": [
            {"activityid": f"ap{number}", "globalobjectid": uid, "scheduledstart": start} | draw(_regarding)
            for number, (uid, start) in enumerate(draw(_some(occurrences)))
        ],
    }


_regarding = st.sampled_from(
    [
        {"_regardingobjectid_value": "op1", "regarding_type": "opportunity"},
        {"_regardingobjectid_value": "le1", "regarding_type": "lead"},
    ]
)


def _some(values):
    return st.lists(st.sampled_from(values), max_size=3) if values else st.just([])


@st.composite
def tenants(draw, *, with_crm=False, max_emails=12, max_meetings=4):
    """Random small tenants over three months, by default without a CRM.

    Three to six colleagues (one may be disabled), three to seven contacts over a company's domain and sub-domain, a
    free-mail domain, a private public suffix and an internationalised domain; up to 12 emails and 4 meetings in
    several mailboxes. No two emails share an instant, nor does an email with a meeting or a call, so that no order
    is left to chance. Recipients differ between copies only where a message id joins them.
    """
    colleagues = COLLEAGUES[: draw(st.integers(3, len(COLLEAGUES)))]
    contacts = CONTACTS[: draw(st.integers(3, len(CONTACTS)))]
    disabled = draw(st.sampled_from([None, *colleagues]))
    users = [user(address, aliases=ALIASES.get(address, ()), enabled=address != disabled) for address in colleagues]
    users.append(user("guest_partner@contoso.com", user_type="Guest", mail="carla@gmail.com", proxyAddresses=[]))
    emails = draw(st.lists(_emails(colleagues, contacts), min_size=1, max_size=max_emails))
    meetings = draw(st.lists(_meetings(colleagues, contacts), max_size=max_meetings))
    messages = [row for number, copies in enumerate(emails, start=1) for row in copies(number)]
    events = [row for number, copies in enumerate(meetings) for row in copies(number)]
    repeated = [row for row in messages if row["parentFolderId"] == folder_id(colleagues[0], "Sent Items")]
    return Tenant(
        as_of=AS_OF,
        months=MONTHS,
        internal_domains=INTERNAL_DOMAINS,
        datasets={
            "Message_v1": [*messages, *(summary_row(address) for address in colleagues)],
            "SentItem_v1": repeated,
            "CalendarView_v0": events,
            "User_v1": users,
            "MailFolder_v0": [
                mail_folder(address, name, parent="Deleted Items" if name == "Old" else None)
                for address in colleagues
                for name in FOLDERS
            ],
        },
        crm=draw(_crm(colleagues, contacts, messages, events)) if with_crm else {},
        pascal=draw(st.sampled_from([(), ("CalendarView_v0", "MailFolder_v0")])),
        compress=draw(st.booleans()),
    )
