"""B2, B5-B7, N3, N4: from message rows to copies, from copies to emails, from emails to batches.

Readings where the specification leaves room:

- Copies are counted, not rows: rows with the same (mailbox, item id) are one copy; the one changed last wins, then
  Message over Inbox over SentItem. A row without an id is a copy that is dropped.
- A row without a received time belongs to no month: it is counted in `rejected`, in no batch. So is a row received
  in a month that is not collected.
- Dropped copies are dropped one by one, by the first reason that applies: no_id, mailbox_not_in_scope (no `puser`, or
  one without a member's User row), draft, folder, meeting_message. Meeting messages are `dropped` in the equation of
  interfaces.md 6, since they stand in none of its other terms. An email is what its undropped copies say.
- A folder is left out if its English display name, or that of a folder above it, is Drafts, Junk Email, Deleted Items
  or Sync Issues. A folder that is not listed is kept.
- Message key without an internetMessageId: sender (N3), the raw sentDateTime instant, the sorted distinct addresses
  of To and Cc together; unresolved ones as trimmed lower-case text.
- The cap cuts each month by itself, over the copies received in it and before months are joined (the lake holds a
  capped month before its neighbour exists). A copy cut off is not held, so an email cut from its first month stands
  in a later one where it has copies there. Ties at the cut: the smaller key stays.
- Settling: an email held in any earlier collected month belongs there, however far back; copies of later months are
  "settled" and add their recipients and mailboxes to it.
- The copies of an email are ordered by (received, mailbox, item id). Sender and conversation key are those of the
  first copy that has one. `from` has "no address" if it is blank; one that is there but does not resolve leaves the
  email without a sender.
- Recipients are counted as distinct addresses, nameless blanks not; unresolved ones count where bulk is judged, and not
  in the audience of a tie (K2), who can only be people. Bulk is judged on the whole email: the union of its
  recipients, its sender, the headers of any of its copies.
- The two base64 alphabets of a conversationId are the standard one and Exchange's, in which `-` is `/` and `_` is `+`
  (the reverse of RFC 4648): only so do conversationId and conversationIndex agree in the rows of the documentation.
- Missing sentDateTime counts as clock_corrected too.
- `mailboxes_expected` counts the members; `mailboxes_read` those of them with a message row in the export or a
  summary row that names no error. `status` is `partial` where the cap cut, else `complete`.
"""

import base64
import binascii
import hashlib
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import timedelta

from relationship_pipeline_tests.oracle.addresses import peel
from relationship_pipeline_tests.oracle.times import DAY, instant, month_of

LEFT_OUT_FOLDERS = {"drafts", "junk email", "deleted items", "sync issues"}
BULK_RECIPIENTS = 50
BULK_SENDER = re.compile(
    r"(no-reply|noreply|do-not-reply|donotreply|mailer-daemon|postmaster|bounces?|newsletter|notifications?)([-+.].*)?@.*"
)


@dataclass
class Copy:
    """One message in one mailbox, in scope and not dropped."""

    key: str
    mailbox: str
    item: str
    received: object
    sent: object
    sender: str | None
    sender_name: str | None
    recipients: dict
    """address or unresolved text -> address, None where unresolved"""
    conversation: str | None
    bulk_headers: bool


@dataclass
class Email:
    """N4: one email, from all its copies held. Persons are addresses that stand for a person (`People.person`)."""

    key: str
    received_at: object
    sent_at: object
    clock_corrected: bool
    sender: str | None
    sender_name: str | None
    recipients: set
    audience: int
    mailboxes: set
    conversation: str | None
    bulk: bool


def count_mail(export, people, months, cap):
    """-> (emails by month of belonging, batches, batch details), the last two one dict a month."""
    copies, dropped, rejected = _read_copies(export, people, months)
    kept, left_out = {}, {}
    for month in months:
        by_key = defaultdict(list)
        for copy in copies[month]:
            by_key[copy.key].append(copy)
        newest_first = sorted(by_key.values(), key=lambda group: group[0].key)
        newest_first.sort(key=lambda group: min(copy.received for copy in group), reverse=True)
        kept[month], left_out[month] = newest_first[:cap], newest_first[cap:]

    home = {}
    for month in sorted(months):
        for group in kept[month]:
            home.setdefault(group[0].key, month)
    all_copies = defaultdict(list)
    for month in months:
        for group in kept[month]:
            all_copies[group[0].key] += group
    emails = {month: [] for month in months}
    for key, month in home.items():
        emails[month].append(_email(key, all_copies[key], people))

    batches, details = [], []
    read_mailboxes = _mailboxes_read(export, people)
    for month in sorted(months):
        settled = sum(len(group) for group in kept[month] if home[group[0].key] != month)
        own_copies = sum(len(group) for group in kept[month] if home[group[0].key] == month)
        batches.append(
            {
                "month": month,
                "copies_read": len(copies[month]) + sum(dropped[month].values()),
                "distinct_emails": len(emails[month]),
                "duplicates": own_copies - len(emails[month]),
                "dropped": sum(dropped[month].values()),
                "left_out_by_cap": len(left_out[month]),
                "mailboxes_expected": len(people.by_mailbox),
                "mailboxes_read": len(read_mailboxes),
                "status": "partial" if left_out[month] else "complete",
                "left_out_copies": sum(len(group) for group in left_out[month]),
                "settled_copies": settled,
            }
        )
        details.append(
            {
                "month": month,
                "dropped_by_reason": dict(dropped[month]),
                "clock_corrected": sum(email.clock_corrected for email in emails[month]),
            }
        )
    return emails, batches, details, rejected


def _read_copies(export, people, months):
    """-> (copies by month, dropped copies by month and reason, rows outside all months by reason)."""
    items, without_id = {}, []
    for rank, row in export.messages():
        if not row.get("id"):
            without_id.append(row)
            continue
        item = (str(row.get("puser")).lower(), row["id"])
        order = (-_epoch_seconds(row.get("lastmodifieddatetime")), rank)
        if item not in items or order < items[item][0]:
            items[item] = (order, row)
    folders = _left_out_folders(export.rows.get("mailfolder", []))

    copies, dropped, rejected = defaultdict(list), defaultdict(Counter), Counter()
    for row in [*without_id, *(row for _, row in items.values())]:
        received = instant(row.get("receiveddatetime"))
        if received is None:
            rejected["no_time"] += 1
        elif month_of(received) not in months:
            rejected["outside_months"] += 1
        elif reason := _reason_to_drop(row, people, folders):
            dropped[month_of(received)][reason] += 1
        else:
            copies[month_of(received)].append(_copy(row, received, people))
    return copies, dropped, rejected


def _epoch_seconds(text):
    moment = instant(text)
    return moment.timestamp() if moment else float("-inf")


def _reason_to_drop(row, people, folders):
    if not row.get("id"):
        return "no_id"
    if str(row.get("puser")).lower() not in people.by_mailbox:
        return "mailbox_not_in_scope"
    if row.get("isdraft"):
        return "draft"
    if row.get("parentfolderid") in folders:
        return "folder"
    if is_meeting_message(row):
        return "meeting_message"
    return None


def is_meeting_message(row):
    """B4: an invitation or an answer to one (`eventMessage` and its sub-types)."""
    odata_type = str(row.get("odatatype") or row.get("@odata.type") or "").lower()
    return "eventmessage" in odata_type or (row.get("meetingmessagetype") or "none").lower() != "none"


def _left_out_folders(rows):
    by_id = {row.get("id"): row for row in rows}
    left_out = set()
    for folder_id in by_id:
        seen, above = set(), folder_id
        while above in by_id and above not in seen:
            seen.add(above)
            if str(by_id[above].get("displayname")).strip().lower() in LEFT_OUT_FOLDERS:
                left_out.add(folder_id)
            above = by_id[above].get("parentfolderid")
    return left_out


def _copy(row, received, people):
    raw_sender = raw_address(row.get("from")) or raw_address(row.get("sender"))
    raw_recipients = [
        raw_address(party) for column in ("torecipients", "ccrecipients") for party in row.get(column) or []
    ]
    recipients = {people.address(raw) or peel(raw): people.address(raw) for raw in raw_recipients if raw}
    sent = instant(row.get("sentdatetime"))
    sender = people.address(raw_sender)
    key = internet_message_key(row.get("internetmessageid"))
    if key is None:
        parts = [sender or peel(raw_sender), sent.isoformat() if sent else "", *sorted(recipients)]
        key = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    return Copy(
        key=key,
        mailbox=row["puser"].lower(),
        item=row["id"],
        received=received,
        sent=sent,
        sender=sender,
        sender_name=row["from"]["emailaddress"].get("name") if raw_address(row.get("from")) else None,
        recipients=recipients,
        conversation=conversation_key(row.get("conversationid"), row.get("conversationindex")),
        bulk_headers=_bulk_headers(row.get("internetmessageheaders")),
    )


def raw_address(party):
    return ((((party or {}).get("emailaddress") or {}).get("address")) or "").strip()


def internet_message_key(raw):
    """Trimmed; the case of the domain part (after the last `@`) does not matter."""
    text = (raw or "").strip()
    if not text:
        return None
    local, at, domain = text.rpartition("@")
    return local + at + domain.lower()


def conversation_key(conversation_id, conversation_index):
    """B7: the conversation's GUID as hex, else the conversationId as it stands, else None."""
    whole = _decode(conversation_id)
    if len(whole) == 59 and whole.startswith(b"\x00\x04\x24\x00"):
        return whole[-16:].hex()
    index = _decode(conversation_index)
    if len(index) >= 22:
        return index[6:22].hex()
    return conversation_id or None


def _decode(text):
    if not isinstance(text, str):
        return b""
    # Exchange's URL-safe alphabet is not RFC 4648's: `-` stands for `/` and `_` for `+`.
    text = text.strip().rstrip("=").replace("-", "/").replace("_", "+")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _bulk_headers(headers):
    for header in headers or []:
        name, value = str(header.get("name")).lower(), str(header.get("value") or "").strip().lower()
        if name in ("list-id", "list-unsubscribe"):
            return True
        if name == "precedence" and value in ("bulk", "list", "junk"):
            return True
        if name == "auto-submitted" and value != "no":
            return True
    return False


def _email(key, copies, people):
    copies = sorted(copies, key=lambda copy: (copy.received, copy.mailbox, copy.item))
    first = copies[0]
    sent_at = first.sent
    corrected = sent_at is None or sent_at > first.received + DAY or sent_at < first.received - timedelta(days=30)
    recipients = {}
    for copy in copies:
        recipients |= copy.recipients
    sender = next((copy.sender for copy in copies if copy.sender), None)
    return Email(
        key=key,
        received_at=first.received,
        sent_at=first.received if corrected else sent_at,
        clock_corrected=corrected,
        sender=people.person(sender),
        sender_name=first.sender_name,
        recipients={people.person(address) for address in recipients.values() if address},
        audience=len(set(recipients.values()) - {None}),
        mailboxes={people.by_mailbox[copy.mailbox].address for copy in copies},
        conversation=next((copy.conversation for copy in copies if copy.conversation), None),
        bulk=len(recipients) > BULK_RECIPIENTS
        or bool(sender and BULK_SENDER.fullmatch(sender))
        or any(copy.bulk_headers for copy in copies),
    )


def _mailboxes_read(export, people):
    read = {str(row.get("puser")).lower() for _, row in export.messages()}
    for row in export.summaries:
        if row["dataset"] in ("message", "inbox", "sentitem") and not row["rowinformation"].get("errorinformation"):
            read.add(str(row.get("puser")).lower())
    return read & set(people.by_mailbox)
