"""Every Arrow schema of the lake and the column names that go with it, once.

Times are UTC microseconds. `mailbox` is the owner's directory object id. Keys are 16 bytes, as UUID in DuckDB and as
`fixed_size_binary(16)` in Arrow.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

INSTANT = pa.timestamp("us", tz="UTC")
KEY = pa.uuid()
ADDRESSES = pa.list_(pa.string())

STAGED_EMAIL = pa.schema(
    [
        ("mailbox", pa.string()),
        ("item_id", pa.string()),
        ("internet_message_id", pa.string()),
        ("conversation_id", pa.string()),
        ("conversation_index", pa.string()),
        ("sent_at", INSTANT),
        ("received_at", INSTANT),
        ("from_address", pa.string()),
        ("from_name", pa.string()),
        ("sender_address", pa.string()),
        ("to_addresses", ADDRESSES),
        ("cc_addresses", ADDRESSES),
        ("folder_class", pa.string()),
        ("is_draft", pa.bool_()),
        ("is_meeting_message", pa.bool_()),
        ("has_bulk_header", pa.bool_()),
    ]
)
"""One row a copy, as a source read it: addresses raw, nothing decided yet. `received_at` is never null."""

EMAIL = pa.schema(
    [
        ("message_key", KEY),
        ("mailbox", pa.string()),
        ("item_key", KEY),
        ("copy_rank", pa.int32()),
        ("conversation_key", KEY),
        ("received_at", INSTANT),
        ("sent_at", INSTANT),
        ("from_address", pa.string()),
        ("from_name", pa.string()),
        ("sender_address", pa.string()),
        ("to_addresses", ADDRESSES),
        ("cc_addresses", ADDRESSES),
        ("folder_class", pa.string()),
        ("is_meeting_message", pa.bool_()),
        ("is_bulk", pa.bool_()),
    ]
)
"""Lake table `email`, grain: one copy (mailbox, item) of an email received in the month, whatever the owner's later
opt-outs; rows of emails that the cap left out are absent. `copy_rank` 1 is the earliest copy in this month (B5).
`sent_at` is raw (N4's correction happens where copies are joined); addresses are N1, unresolved ones absent."""

ATTENDEES = pa.list_(pa.struct([("address", pa.string()), ("type", pa.string()), ("response", pa.string())]))

STAGED_MEETING = pa.schema(
    [
        ("mailbox", pa.string()),
        ("item_id", pa.string()),
        ("ical_uid", pa.string()),
        ("series_id", pa.string()),
        ("event_type", pa.string()),
        ("organizer_address", pa.string()),
        ("organizer_name", pa.string()),
        ("is_organizer", pa.bool_()),
        ("own_response", pa.string()),
        ("attendees", ATTENDEES),
        ("start_at", INSTANT),
        ("end_at", INSTANT),
        ("is_all_day", pa.bool_()),
        ("is_cancelled", pa.bool_()),
        ("is_draft", pa.bool_()),
        ("sensitivity", pa.string()),
    ]
)
"""One row a copy of a meeting, as a source read it; `event_type` is Graph's type, `start_at` never null."""

MEETINGS = pa.schema(
    [
        ("meeting_key", KEY),
        ("mailbox", pa.string()),
        ("item_key", KEY),
        ("series_key", KEY),
        ("organizer_address", pa.string()),
        ("is_organizer", pa.bool_()),
        ("own_response", pa.string()),
        ("attendees", ATTENDEES),
        ("start_at", INSTANT),
        ("end_at", INSTANT),
        ("is_all_day", pa.bool_()),
        ("is_cancelled", pa.bool_()),
    ]
)
"""Lake tables `meetings` (month of `start_at`) and `planned_meetings`, grain: one copy (mailbox, item).
`meeting_key` = hash of (iCalUId, start) (N10); addresses are N1; a missing iCalUId falls back to the item id."""

READABLE = pa.schema([("mailbox", pa.string()), ("since", INSTANT), ("until", INSTANT)])
"""Copies of the mailbox received in [since, until) may be collected now; null is open; several rows are possible."""

PEOPLE = pa.schema(
    [
        ("address", pa.string()),
        ("user_id", pa.string()),
        ("in_scope", pa.bool_()),
        ("may_introduce", pa.bool_()),
        ("display_name", pa.string()),
        ("primary_address", pa.string()),
        ("hidden", pa.bool_()),
    ]
)
"""Who is who after opt-outs (N2, K5), grain: one address of one member user of the directory."""

ABSENCES = pa.schema([("user_id", pa.string()), ("since", INSTANT), ("until", INSTANT)])
"""When somebody of PEOPLE who is in scope otherwise was not (O1, N2): what they wrote, were named in or met for in
[since, until) makes no count; null is open."""

HIDDEN = pa.schema([("address", pa.string())])
"""Addresses to be removed as sender or recipient and never shown (O4 `everywhere`, O6)."""

TIE_MARKS = pa.schema(
    [("kind", pa.string()), ("subject", pa.string()), ("account_id", pa.string()), ("user_id", pa.string())]
)
"""Ties that a user hid or marked wrong (K7), grain: (kind, subject, user_id); what the columns hold: consent.tie_marks."""

USERS = pa.schema(
    [
        ("user_id", pa.string()),
        ("display_name", pa.string()),
        ("primary_address", pa.string()),
        ("user_principal_name", pa.string()),
        ("is_member", pa.bool_()),
        ("account_enabled", pa.bool_()),
        ("mailbox_kind", pa.string()),
        ("opt_out_attribute", pa.string()),
        ("is_gone", pa.bool_()),
    ]
)
"""Lake table `directory`, file `users`: one row a directory object. `is_gone`: no longer listed by the source."""

USER_ADDRESSES = pa.schema([("address", pa.string()), ("user_id", pa.string())])
"""Lake table `directory`, file `addresses`: every proxy address of a user, N1 form; X500 as `x500:` + lower case."""

GROUP_MEMBERS = pa.schema([("group_id", pa.string()), ("user_id", pa.string())])
"""Lake table `directory`, file `group_members`: transitive members of the groups that settings or opt-outs name."""

DOMAINS = pa.schema([("domain", pa.string())])
"""Lake table `directory`, file `domains`: internal domains of the source (N2), lower case ASCII."""


CRM: dict[str, pa.Schema] = {
    "accounts": pa.schema(
        [
            ("account_id", pa.string()),
            ("name", pa.string()),
            ("website", pa.string()),
            ("addresses", ADDRESSES),
            ("primary_contact_id", pa.string()),
        ]
    ),
    "contacts": pa.schema(
        [
            ("contact_id", pa.string()),
            ("name", pa.string()),
            ("addresses", ADDRESSES),
            ("parent_id", pa.string()),
            ("owner_id", pa.string()),
            ("state", pa.int32()),
        ]
    ),
    "opportunities": pa.schema(
        [
            ("opportunity_id", pa.string()),
            ("name", pa.string()),
            ("account_id", pa.string()),
            ("contact_id", pa.string()),
            ("customer_id", pa.string()),
            ("owner_id", pa.string()),
            ("state", pa.int32()),
            ("estimated_value", pa.float64()),
            ("closed_at", INSTANT),
        ]
    ),
    "leads": pa.schema(
        [
            ("lead_id", pa.string()),
            ("name", pa.string()),
            ("company_name", pa.string()),
            ("addresses", ADDRESSES),
            ("owner_id", pa.string()),
            ("state", pa.int32()),
        ]
    ),
    "stakeholders": pa.schema(
        [
            ("record_type", pa.string()),
            ("record_id", pa.string()),
            ("contact_id", pa.string()),
            ("role", pa.string()),
        ]
    ),
    "opportunity_team": pa.schema([("opportunity_id", pa.string()), ("user_id", pa.string())]),
    "phonecalls": pa.schema(
        [
            ("activity_id", pa.string()),
            ("from_address", pa.string()),
            ("to_addresses", ADDRESSES),
            ("is_outgoing", pa.bool_()),
            ("started_at", INSTANT),
            ("minutes", pa.float64()),
            ("regarding_id", pa.string()),
            ("regarding_type", pa.string()),
        ]
    ),
    "appointments": pa.schema(
        [
            ("ical_uid", pa.string()),
            ("start_at", INSTANT),
            ("regarding_id", pa.string()),
            ("regarding_type", pa.string()),
        ]
    ),
    "emails": pa.schema(
        [
            ("internet_message_id", pa.string()),
            ("regarding_id", pa.string()),
            ("regarding_type", pa.string()),
        ]
    ),
    "user_roles": pa.schema([("user", pa.string()), ("role", pa.string())]),
}
"""Lake table `crm_records`, one file a kind: the CRM's rows as far as the product uses them. Ids and owners are as the CRM
writes them; addresses are N1, in the order of emailaddress1..3, unresolved ones absent. `appointments` and
`emails` say only what an Exchange item is regarding. `state` is Dataverse's statecode."""


@dataclass(frozen=True)
class PublishedTable:
    """Contract of one table of `published/<role>.duckdb` (interfaces.md 6): column order, types and their comments.

    `grant` is the visibility grant without which a role's database does not hold the table (V1, V2); `sort_by` is the
    order rows are stored in, so that a look-up of one record touches one row group.
    """

    comment: str
    grant: str
    columns: tuple[tuple[str, pa.DataType, str], ...]
    sort_by: tuple[str, ...]

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([(name, kind) for name, kind, _ in self.columns])

    @property
    def comments(self) -> dict[str, str]:
        return {name: comment for name, _, comment in self.columns}


KPIS = "kpis"
WHO_KNOWS_WHOM = "who_knows_whom"

_TEXT, _COUNT, _NUMBER, _SCORE, _DAY = pa.string(), pa.int64(), pa.float64(), pa.int32(), pa.date32()

_AS_OF = ("as_of", INSTANT, "The instant that the table was computed for; its window is the year before")
_RECORD = (
    ("record_type", _TEXT, "contact, account, opportunity or lead"),
    ("record_id", _TEXT, "contact_email, account_id, opportunity_id or lead_id of that record"),
)

_COUNTED = (
    ("emails_sent", _COUNT, "Emails that a colleague in scope sent and that name the record's people in To or Cc (N6)"),
    ("emails_received", _COUNT, "Emails that the record's people sent (N6)"),
    ("meetings_sent", _COUNT, "Meetings organized by our side (N10)"),
    ("meetings_received", _COUNT, "Meetings organized by the outside (N10)"),
    ("phone_calls_made", _COUNT, "Phone calls that we made, from the CRM"),
    ("phone_calls_received", _COUNT, "Phone calls that we received, from the CRM"),
)

_PAIRED = (
    ("replies_by_us", _COUNT, "Distinct emails of ours that answer one of theirs within 168 hours (N8)"),
    ("replies_by_them", _COUNT, "Distinct emails of theirs that answer one of ours within 168 hours (N8)"),
    ("conversations_started_by_us", _COUNT, "Conversations whose earliest counted email in the window is ours"),
    (
        "conversations_started_by_them",
        _COUNT,
        "Conversations whose earliest counted email in the window is theirs",
    ),
    ("team_minutes", _NUMBER, "Time that our side spent on email, meetings and calls, in minutes (N9, N10)"),
    ("customer_minutes", _NUMBER, "Time that the outside spent on email, meetings and calls, in minutes (N9, N10)"),
    ("response_rate_by_us", _NUMBER, "Share of their answered or 168 hours old emails that we answered (N8)"),
    (
        "response_rate_by_them",
        _NUMBER,
        "Share of our answered or 168 hours old emails that they answered (N8)",
    ),
    ("median_response_hours_by_us", _NUMBER, "Median hours from their email to our answer (N8)"),
    ("median_response_hours_by_them", _NUMBER, "Median hours from our email to their answer (N8)"),
    ("mean_response_hours_by_us", _NUMBER, "Mean hours from their email to our answer (N8)"),
    ("mean_response_hours_by_them", _NUMBER, "Mean hours from our email to their answer (N8)"),
    ("sent_received_ratio", _NUMBER, "emails_sent / emails_received; null when none was received"),
    ("received_sent_ratio", _NUMBER, "emails_received / emails_sent; null when none was sent"),
)

_OPPORTUNITIES = (("opportunities", _COUNT, "Opportunities of the record in the CRM"),)

_RECENCY_AND_HEALTH = (
    ("first_interaction_at", INSTANT, "First counted email, meeting or call in the window, by its sending or start"),
    ("last_interaction_at", INSTANT, "Last counted email, meeting or call in the window, by its sending or start"),
    ("last_interaction_type", _TEXT, "email, meeting or phone_call"),
    ("last_interaction_direction", _TEXT, "sent (by us) or received"),
    ("days_since_last_interaction", _COUNT, "Whole 24-hour periods from the last interaction to as_of (N7)"),
    ("next_meeting_at", INSTANT, "Start of the next planned meeting after as_of (B4)"),
    (
        "health_score",
        _SCORE,
        "0 to 100; null under 3 interactions. No content is read, so there is no sentiment",
    ),
    (
        "health_state",
        _TEXT,
        "good, fair, poor, not_enough_info, computation_in_progress, not_applicable or older_than_two_years",
    ),
    ("health_trend", _TEXT, "improving, steady, declining, not_enough_info or not_applicable"),
    ("health_reasons", _TEXT, "The two biggest reasons for the score, in a plain sentence"),
    ("computation_accuracy", _TEXT, "complete, or partial when a month of the window is missing or incomplete (B2)"),
    ("updated_at", INSTANT, "As of when the newest month behind the row was read: an export, when it was written"),
    _AS_OF,
)

_TIE = (
    ("colleague_email", _TEXT, "Primary address of the colleague in scope"),
    ("colleague_name", _TEXT, "Display name of the colleague"),
    ("strength", _SCORE, "Strength of the tie, 0 to 100 (K2, K3)"),
    ("band", _TEXT, "strong from 70, medium from 40, else weak"),
    ("emails_sent", _COUNT, "Emails from the colleague"),
    ("emails_received", _COUNT, "Emails to the colleague, by name in To or Cc"),
    ("meetings", _COUNT, "Meetings both were asked to, without those that the colleague declined"),
    ("last_interaction_at", INSTANT, "Last email or meeting between the two"),
    ("reasons", _TEXT, "Why the tie ranks where it does, in plain words"),
    _AS_OF,
)

PUBLISHED: dict[str, PublishedTable] = {
    "contact_kpis": PublishedTable(
        "Relationship KPIs of each outside contact over the year before as_of. Not for employment decisions.",
        KPIS,
        (
            ("contact_email", _TEXT, "Address of the outside contact, lower case (N1, N2)"),
            (
                "contact_name",
                _TEXT,
                "Name from the CRM, else from the contact's own emails; null if unknown",
            ),
            (
                "account_id",
                _TEXT,
                "Account of the contact; null for free-mail addresses without a CRM account (N11), and where the account is "
                "suppressed",
            ),
            *_COUNTED,
            *_PAIRED,
            *_OPPORTUNITIES,
            *_RECENCY_AND_HEALTH,
        ),
        ("contact_email",),
    ),
    "account_kpis": PublishedTable(
        "Relationship KPIs of each account (company); an email to three of its contacts counts once (N11).",
        KPIS,
        (
            ("account_id", _TEXT, "CRM account id, else the registrable mail domain (N11)"),
            ("account_name", _TEXT, "Name from the CRM, else the domain"),
            ("domain", _TEXT, "Registrable mail domain; of a CRM account its web site's, else its contacts' most used"),
            ("contacts", _COUNT, "Contacts of the account that have a row in contact_kpis"),
            *_COUNTED,
            *_PAIRED,
            *_OPPORTUNITIES,
            *_RECENCY_AND_HEALTH,
        ),
        ("account_id",),
    ),
    "opportunity_kpis": PublishedTable(
        "Relationship KPIs of each opportunity: its team against its contact, stakeholders and the account's primary "
        "contact.",
        KPIS,
        (
            ("opportunity_id", _TEXT, "CRM opportunity id"),
            ("opportunity_name", _TEXT, "Name from the CRM"),
            ("account_id", _TEXT, "Account of the opportunity"),
            ("opportunity_state", _TEXT, "open, won or lost"),
            ("estimated_value", _NUMBER, "Estimated value from the CRM, in its currency"),
            *_COUNTED,
            *_PAIRED,
            *_RECENCY_AND_HEALTH,
        ),
        ("opportunity_id",),
    ),
    "lead_kpis": PublishedTable(
        "Relationship KPIs of each lead of the CRM: its owner against the lead's own address and stakeholders.",
        KPIS,
        (
            ("lead_id", _TEXT, "CRM lead id"),
            ("lead_name", _TEXT, "Name from the CRM"),
            ("company_name", _TEXT, "Company from the CRM"),
            ("lead_state", _TEXT, "open, qualified or disqualified"),
            *_COUNTED,
            *_PAIRED,
            *_RECENCY_AND_HEALTH,
        ),
        ("lead_id",),
    ),
    "most_contacted": PublishedTable(
        "The three people of each side with most interactions on a record.",
        KPIS,
        (
            *_RECORD,
            ("side", _TEXT, "us: colleagues in scope; them: the record's outside people"),
            ("rank", _COUNT, "1 to 3: most emails and meetings first, then latest contact, then address"),
            ("person_email", _TEXT, "The person's address; of a colleague the primary one"),
            ("emails", _COUNT, "Counted emails of the record that the person sent or is named in"),
            ("meetings", _COUNT, "Counted meetings of the record that the person takes part in"),
            ("last_contact_at", INSTANT, "Latest of these emails and meetings"),
            _AS_OF,
        ),
        ("record_type", "record_id", "side", "rank"),
    ),
    "daily_activity": PublishedTable(
        "Counts of each record by UTC day of sending or start; only days with activity.",
        KPIS,
        (*_RECORD, ("day", _DAY, "UTC day"), *_COUNTED, _AS_OF),
        ("record_type", "record_id", "day"),
    ),
    "health_components": PublishedTable(
        "The parts of each health score; a record's points sum to its score exactly.",
        KPIS,
        (
            *_RECORD,
            ("component", _TEXT, "activity, recency, engagement or responsiveness"),
            ("points", _SCORE, "Points that the part gives, rounded by largest remainder"),
            ("detail", _TEXT, "What the part saw, in plain words"),
            _AS_OF,
        ),
        ("record_type", "record_id", "component"),
    ),
    "health_history": PublishedTable(
        "Health of each record at the end of each month of the window; the running month at as_of.",
        KPIS,
        (
            *_RECORD,
            ("month", _TEXT, "YYYY-MM"),
            (
                "health_score",
                _SCORE,
                "Score at the end of that month; null if closed by then, or with too little information",
            ),
            ("health_state", _TEXT, "State at the end of that month"),
            _AS_OF,
        ),
        ("record_type", "record_id", "month"),
    ),
    "alerts": PublishedTable(
        "Relationships that ask for attention.",
        KPIS,
        (
            *_RECORD,
            ("kind", _TEXT, "going_quiet, lapsed or single_threaded"),
            ("since", INSTANT, "When the condition began"),
            ("detail", _TEXT, "What was seen, in plain words"),
            _AS_OF,
        ),
        ("record_type", "record_id", "kind"),
    ),
    "planned_meetings": PublishedTable(
        "Meetings with outside contacts that start after as_of, one row a meeting and contact (B4).",
        KPIS,
        (
            ("contact_email", _TEXT, "Outside organizer or attendee"),
            ("account_id", _TEXT, "Account of the contact"),
            ("start_at", INSTANT, "Start of the meeting"),
            ("end_at", INSTANT, "End of the meeting"),
            ("is_all_day", pa.bool_(), "Whether it is an all-day meeting"),
            ("direction", _TEXT, "sent (we invited) or received"),
            ("colleagues", _COUNT, "Colleagues in scope who take part and have not declined"),
            _AS_OF,
        ),
        ("contact_email", "start_at"),
    ),
    "batches": PublishedTable(
        "What was read for each month: copies_read = distinct_emails + duplicates + dropped + left_out_copies + "
        "settled_copies.",
        KPIS,
        (
            ("month", _TEXT, "YYYY-MM, UTC"),
            ("copies_read", _COUNT, "Copies of emails read from mailboxes"),
            ("distinct_emails", _COUNT, "Emails that stand in the batch, after the cap, each once"),
            ("duplicates", _COUNT, "Further copies of these emails"),
            ("dropped", _COUNT, "Copies left out by rule: drafts, junk, deleted, meeting messages and the like"),
            ("left_out_by_cap", _COUNT, "Emails beyond the batch's cap (B2)"),
            ("mailboxes_expected", _COUNT, "Mailboxes that may be read"),
            ("mailboxes_read", _COUNT, "Mailboxes that were read whole"),
            ("status", _TEXT, "complete or partial"),
            ("read_at", INSTANT, "As of when the batch was read last: an export, when it was written"),
            ("left_out_copies", _COUNT, "Copies of the emails in left_out_by_cap"),
            ("settled_copies", _COUNT, "Copies of emails that belong to the month before, by their earliest copy (B5)"),
            _AS_OF,
        ),
        ("month",),
    ),
    "who_knows_whom": PublishedTable(
        "The up to five colleagues with the strongest tie to each outside contact. Not for employment decisions.",
        WHO_KNOWS_WHOM,
        (
            ("contact_email", _TEXT, "Address of the outside contact"),
            ("rank", _COUNT, "1 is the strongest tie"),
            *_TIE,
        ),
        ("contact_email", "rank"),
    ),
    "who_knows_company": PublishedTable(
        "The up to five colleagues with the strongest tie to each account; each email to several of its people once.",
        WHO_KNOWS_WHOM,
        (
            ("account_id", _TEXT, "Account, as in account_kpis"),
            ("rank", _COUNT, "1 is the strongest tie"),
            *_TIE,
        ),
        ("account_id", "rank"),
    ),
    "strength_components": PublishedTable(
        "The parts of each strength in who_knows_whom; they sum to it exactly.",
        WHO_KNOWS_WHOM,
        (
            ("contact_email", _TEXT, "Address of the outside contact"),
            ("colleague_email", _TEXT, "Primary address of the colleague"),
            ("component", _TEXT, "Part of the formula, such as the time scale (docs/scores.md)"),
            ("points", _SCORE, "Points of the part, rounded by largest remainder"),
            _AS_OF,
        ),
        ("contact_email", "colleague_email", "component"),
    ),
    "graph_nodes": PublishedTable(
        "Nodes of the contact graph (K4).",
        WHO_KNOWS_WHOM,
        (
            ("node_id", _TEXT, "Address of the contact, primary address of the colleague"),
            ("kind", _TEXT, "colleague or contact"),
            ("name", _TEXT, "Display name; null where none is known"),
            ("account_id", _TEXT, "Account of a contact"),
            ("degree", _COUNT, "Colleagues with a tie to the contact; null for colleagues (V4)"),
            _AS_OF,
        ),
        ("kind", "node_id"),
    ),
    "graph_edges": PublishedTable(
        "Undirected edges of the contact graph: colleague to contact, and colleague to colleague (K4).",
        WHO_KNOWS_WHOM,
        (
            ("source", _TEXT, "A colleague's primary address"),
            ("target", _TEXT, "A contact's address, or the other colleague's primary address"),
            ("kind", _TEXT, "colleague_contact or colleague_colleague"),
            ("strength", _SCORE, "Strength of the tie, 0 to 100"),
            ("first_interaction_at", INSTANT, "First email or meeting between the two in the window"),
            ("last_interaction_at", INSTANT, "Last email or meeting between the two in the window"),
            ("emails", _COUNT, "Emails either way"),
            ("meetings", _COUNT, "Meetings both were asked to, without those that the colleague declined"),
            _AS_OF,
        ),
        ("target", "source"),
    ),
}
"""Every published table by name. Built tables (`epochs/<e>/insights/<table>`) have exactly these columns."""
