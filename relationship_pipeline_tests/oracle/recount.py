"""From an export to all tables.

Readings: without a CRM, contacts have no name (B7 keeps no display names) and an account is named as its domain.
Columns that depend on the clock of the run (`read_at`, `updated_at`) and on the health score are left out.
"""

from datetime import timedelta

from relationship_pipeline_tests.oracle import kpis
from relationship_pipeline_tests.oracle.activities import email_activity, meeting_activity
from relationship_pipeline_tests.oracle.addresses import FREE_MAIL_DOMAINS, is_below, registrable_domain
from relationship_pipeline_tests.oracle.mail import count_mail
from relationship_pipeline_tests.oracle.meetings import count_meetings
from relationship_pipeline_tests.oracle.people import People
from relationship_pipeline_tests.oracle.times import (
    month_after,
    month_of,
    month_start,
    months_up_to,
    year_before,
)

PLANNED_DAYS = 92


def recount(export, *, internal_domains, as_of, cap=8_000_000, months=None, free_mail_domains=FREE_MAIL_DOMAINS):
    """Recount every published table.

    `as_of` is an aware UTC datetime, `months` the collected months as `YYYY-MM` (default: B1's twelve and the running
    one). Returns a dict of tables, each a list of dicts: batches, contact_kpis, account_kpis, most_contacted,
    daily_activity, who_knows_whom; further `batch_details` (the terms of the equation in interfaces.md 6 that are no
    columns, and reasons) and `rejected` (rows that belong to no month, by reason).
    """
    months = sorted(months or months_up_to(as_of))
    people = People(export.rows.get("user", []), internal_domains)
    emails, batches, batch_details, rejected = count_mail(export, people, months, cap)
    since = year_before(as_of)

    counted = [
        email_activity(email, people)
        for of_month in emails.values()
        for email in of_month
        if since <= email.received_at < as_of
    ]
    planned_until = month_start(month_after(month_of(as_of))) + timedelta(days=PLANNED_DAYS)
    planned = []
    for meeting in count_meetings(export, people):
        if since <= meeting.start < as_of and month_of(meeting.start) in months:
            counted.append(meeting_activity(meeting, people))
        elif as_of <= meeting.start < planned_until and month_of(as_of) in months:
            planned.append(meeting_activity(meeting, people))
    counted = [activity for activity in counted if activity]
    planned = [activity for activity in planned if activity]

    def account_of(contact):
        domain = registrable_domain(contact)
        free = is_below(contact.split("@")[1], free_mail_domains) or domain in free_mail_domains
        return None if free else domain

    accuracy = _accuracy(batches, since, as_of)
    links, planned_links = kpis.index_by_link(counted), kpis.index_by_link(planned)
    tables = {
        "batches": batches,
        "batch_details": batch_details,
        "rejected": [{"reason": reason, "rows": rows} for reason, rows in sorted(rejected.items())],
        "contact_kpis": [],
        "account_kpis": [],
        "most_contacted": [],
        "daily_activity": [],
        "who_knows_whom": kpis.who_knows_whom(counted, people),
    }

    def add(table, record, described):
        activities = kpis.activities_of(record, links)
        planned_meetings = kpis.activities_of(record, planned_links)
        row = described | kpis.measures(record, activities, planned_meetings, as_of)
        tables[table].append(row | {"computation_accuracy": accuracy, "as_of": as_of})
        tables["daily_activity"] += kpis.daily_activity(record, activities)
        tables["most_contacted"] += kpis.most_contacted(record, activities)

    contacts = sorted({contact for activity in counted for contact in activity.outside})
    accounts = {contact: account_of(contact) for contact in contacts}
    for contact in contacts:
        add(
            "contact_kpis",
            kpis.Record("contact", contact, {contact}),
            {"contact_email": contact, "contact_name": None, "account_id": accounts[contact], "opportunities": 0},
        )
    for account in sorted(set(accounts.values()) - {None}):
        members = {contact for contact in contacts if accounts[contact] == account}
        add(
            "account_kpis",
            kpis.Record("account", account, members),
            {"account_id": account, "account_name": account, "domain": account, "contacts": len(members)},
        )
    return tables


def _accuracy(batches, since, as_of):
    status = {batch["month"]: batch["status"] for batch in batches}
    month, touched = month_of(since), []
    while month_start(month) < as_of:
        touched.append(month)
        month = month_after(month)
    return "complete" if all(status.get(month) == "complete" for month in touched) else "partial"
