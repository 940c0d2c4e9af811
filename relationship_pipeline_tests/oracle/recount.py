"""From an export, and CRM rows where there are any, to all tables.

Readings: only the CRM gives contacts a name (B7 keeps no display names); an account that comes from a domain is named
as the domain. Columns that depend on the clock of the run (`read_at`, `updated_at`) or on the health and strength
scores are left out. Without a CRM the tables of opportunities and leads are empty.
"""

from collections import Counter
from datetime import timedelta

from relationship_pipeline_tests.oracle import crm as crm_rows
from relationship_pipeline_tests.oracle import kpis
from relationship_pipeline_tests.oracle.activities import email_activity, meeting_activity
from relationship_pipeline_tests.oracle.addresses import FREE_MAIL_DOMAINS, is_below, registrable_domain
from relationship_pipeline_tests.oracle.mail import count_mail
from relationship_pipeline_tests.oracle.meetings import count_meetings
from relationship_pipeline_tests.oracle.people import People
from relationship_pipeline_tests.oracle.times import month_after, month_of, month_start, months_up_to, year_before

PLANNED_DAYS = 92


def recount(
    export, *, internal_domains, as_of, cap=8_000_000, months=None, crm=None, free_mail_domains=FREE_MAIL_DOMAINS
):
    """Recount every published table.

    `as_of` is an aware UTC datetime, `months` the collected months as `YYYY-MM` (default: B1's twelve and the running
    one), `crm` a `Crm` or None. Returns a dict of tables, each a list of dicts: batches, contact_kpis, account_kpis,
    opportunity_kpis, lead_kpis, most_contacted, daily_activity, planned_meetings, who_knows_whom, who_knows_company;
    further `batch_details` (dropped copies by reason, corrected clocks) and `rejected` (rows that belong to no month).
    `batches` carries the two terms of the equation in interfaces.md 6 that are no column there: left_out_copies and
    settled_copies.
    """
    months = sorted(months or months_up_to(as_of))
    crm = crm or crm_rows.Crm({})
    contact_addresses = [crm_rows.addresses_of(row) for row in crm.rows("contacts", "contactid")]
    people = People(export.rows.get("user", []), internal_domains, contact_addresses)
    emails, batches, batch_details, rejected = count_mail(export, people, months, cap)
    counted, planned = _activities(export, people, emails, months, as_of, crm)

    account_of = _accounts(people, crm, free_mail_domains)
    records = _records(counted, people, crm, account_of, free_mail_domains)
    accuracy = _accuracy(batches, as_of)
    links, planned_links = kpis.index_by_link(counted), kpis.index_by_link(planned)
    tables = {
        "batches": batches,
        "batch_details": batch_details,
        "rejected": [{"reason": reason, "rows": rows} for reason, rows in sorted(rejected.items())],
        "contact_kpis": [],
        "account_kpis": [],
        "opportunity_kpis": [],
        "lead_kpis": [],
        "most_contacted": [],
        "daily_activity": [],
        "planned_meetings": kpis.planned_meetings(planned, account_of),
        "who_knows_whom": kpis.ties(counted, people, "contact_email", lambda contact: contact),
        "who_knows_company": kpis.ties(counted, people, "account_id", account_of),
    }
    for record, description in records:
        activities = kpis.activities_of(record, links)
        meetings = kpis.activities_of(record, planned_links)
        row = description | kpis.measures(record, activities, meetings, as_of)
        tables[f"{record.type}_kpis"].append(row | {"computation_accuracy": accuracy, "as_of": as_of})
        tables["daily_activity"] += kpis.daily_activity(record, activities)
        tables["most_contacted"] += kpis.most_contacted(record, activities)
    return tables


def _activities(export, people, emails, months, as_of, crm):
    """-> (what counts in the window, meetings planned from `as_of` on)."""
    since = year_before(as_of)
    planned_until = month_start(month_after(month_of(as_of))) + timedelta(days=PLANNED_DAYS)
    persons = crm_rows.contact_persons(crm, people)
    email_links, meeting_links = crm_rows.regarding_links(crm, persons)
    counted, planned = [], []
    for of_month in emails.values():
        for email in of_month:
            if since <= email.received_at < as_of:
                counted.append(email_activity(email, people, email_links.get(email.key, set())))
    for meeting in count_meetings(export, people):
        links = meeting_links.get((meeting.uid, meeting.start), set()) | meeting_links.get((meeting.uid, None), set())
        if since <= meeting.start < as_of and month_of(meeting.start) in months:
            counted.append(meeting_activity(meeting, people, links))
        elif as_of <= meeting.start < planned_until and month_of(as_of) in months:
            planned.append(meeting_activity(meeting, people, links))
    calls = crm_rows.phone_calls(crm, people, persons)
    counted += [call for call in calls if since <= call.at < as_of]
    return [activity for activity in counted if activity], [activity for activity in planned if activity]


def _accounts(people, crm, free_mail_domains):
    """-> the function from a contact to its account_id (N11)."""
    persons = crm_rows.contact_persons(crm, people)
    crm_accounts = crm.by_id("accounts", "accountid")
    parents = {}
    for row in crm.rows("contacts", "contactid"):
        if row["contactid"] in persons and row.get("_parentcustomerid_value") in crm_accounts:
            parents.setdefault(persons[row["contactid"]], row["_parentcustomerid_value"])
    by_domain = {}
    for account_id, row in crm_accounts.items():
        by_domain.setdefault(crm_rows.account_domain(row, free_mail_domains), account_id)

    def account_of(contact):
        if contact in parents:
            return parents[contact]
        domain = registrable_domain(contact)
        if domain is None or domain in free_mail_domains or is_below(contact.split("@")[1], free_mail_domains):
            return None
        return by_domain.get(domain, domain)

    return account_of


def _records(counted, people, crm, account_of, free_mail_domains):
    """-> [(Record, the columns that describe it)] for every contact, account, opportunity and lead."""
    persons = crm_rows.contact_persons(crm, people)
    crm_accounts = crm.by_id("accounts", "accountid")
    names = {}
    for row in crm.rows("contacts", "contactid"):
        if row["contactid"] in persons and row.get("fullname"):
            names.setdefault(persons[row["contactid"]], row["fullname"])

    # A contact has a row for what counts for it, which for an email or call needs somebody in scope (N7).
    seen = {contact for activity in counted if activity.inside for contact in activity.outside}
    contacts = sorted(seen | set(persons.values()))
    accounts = {contact: account_of(contact) for contact in contacts}

    opportunities = [_opportunity(row, crm, people, persons) for row in crm.rows("opportunities", "opportunityid")]
    of_contact = Counter(contact for record, _ in opportunities for contact in record.outside)
    of_account = Counter(description["account_id"] for _, description in opportunities)

    records = []
    for contact in contacts:
        description = {
            "contact_email": contact,
            "contact_name": names.get(contact),
            "account_id": accounts[contact],
            "opportunities": of_contact[contact],
        }
        records.append((kpis.Record("contact", contact, {contact}), description))
    for account in sorted({*accounts.values(), *crm_accounts} - {None}):
        row = crm_accounts.get(account)
        members = {contact for contact in contacts if accounts[contact] == account}
        if row and row.get("_primarycontactid_value") in persons:
            members.add(persons[row["_primarycontactid_value"]])
        description = {
            "account_id": account,
            "account_name": row.get("name") if row else account,
            "domain": crm_rows.account_domain(row, free_mail_domains) if row else account,
            "contacts": len(members),
            "opportunities": of_account[account],
        }
        records.append((kpis.Record("account", account, members), description))
    records += opportunities
    records += [_lead(row, crm, people, persons) for row in crm.rows("leads", "leadid")]
    return records


def _opportunity(row, crm, people, persons):
    opportunity = row["opportunityid"]
    team = crm_rows.user(row.get("_ownerid_value"), people)
    for member in crm.tables.get("opportunity_team", []):
        if member.get("opportunityid") == opportunity:
            team |= crm_rows.user(member.get("systemuserid"), people)
    customers = {persons.get(row.get("_parentcontactid_value")), persons.get(row.get("_customerid_value"))}
    crm_accounts = crm.by_id("accounts", "accountid")
    candidates = (row.get("_parentaccountid_value"), row.get("_customerid_value"))
    account = next((value for value in candidates if value in crm_accounts), None)
    primary = persons.get(crm_accounts[account].get("_primarycontactid_value")) if account else None
    record = kpis.Record(
        type="opportunity",
        id=opportunity,
        outside=(customers | _stakeholders("opportunity", opportunity, crm, persons)) - {None},
        team=team,
        only_if_regarding={primary} - {None},
    )
    value = row.get("estimatedvalue")
    return record, {
        "opportunity_id": opportunity,
        "opportunity_name": row.get("name"),
        "account_id": account,
        "opportunity_state": {"0": "open", "1": "won", "2": "lost"}.get(row.get("statecode")),
        "estimated_value": float(value) if value else None,
    }


def _lead(row, crm, people, persons):
    lead = row["leadid"]
    own = {person for person in map(people.person, crm_rows.addresses_of(row)) if people.outside(person)}
    record = kpis.Record(
        type="lead",
        id=lead,
        outside=own | _stakeholders("lead", lead, crm, persons),
        team=crm_rows.user(row.get("_ownerid_value"), people),
    )
    return record, {
        "lead_id": lead,
        "lead_name": row.get("fullname"),
        "company_name": row.get("companyname"),
        "lead_state": {"0": "open", "1": "qualified", "2": "disqualified"}.get(row.get("statecode")),
    }


def _stakeholders(record_type, record_id, crm, persons):
    rows = crm.tables.get("stakeholders", [])
    named = [
        row.get("contactid")
        for row in rows
        if (row.get("record_type") or "").lower() == record_type and row.get("record_id") == record_id
    ]
    return {persons[contact] for contact in named if contact in persons}


def _accuracy(batches, as_of):
    status = {batch["month"]: batch["status"] for batch in batches}
    month, touched = month_of(year_before(as_of)), []
    while month_start(month) < as_of:
        touched.append(month)
        month = month_after(month)
    return "complete" if all(status.get(month) == "complete" for month in touched) else "partial"
