"""From an export, and CRM rows where there are any, to all tables.

Readings: a contact is named by the CRM, else by the latest of its own emails in the window whose earliest copy has a
display name beside the address it is from (Graph's emailAddress, part of B7's `from`): what stands before any `<`, without
quotes, unless it holds an `@`. An account that comes from a domain is named as the domain. Columns that depend on the
clock of the run (`read_at`, `updated_at`) are left out. Without a CRM the tables of opportunities and leads are empty.
"""

from collections import Counter
from datetime import timedelta

from relationship_pipeline_tests.oracle import crm as crm_rows
from relationship_pipeline_tests.oracle import health, kpis, strength
from relationship_pipeline_tests.oracle.activities import email_activity, email_among_us, meeting_activity
from relationship_pipeline_tests.oracle.addresses import FREE_MAIL_DOMAINS, is_below, registrable_domain
from relationship_pipeline_tests.oracle.mail import count_mail
from relationship_pipeline_tests.oracle.meetings import count_meetings
from relationship_pipeline_tests.oracle.people import People
from relationship_pipeline_tests.oracle.times import (
    instant,
    month_after,
    month_of,
    month_start,
    months_up_to,
    year_before,
)

PLANNED_DAYS = 92


def recount(
    export,
    *,
    internal_domains,
    as_of,
    cap=8_000_000,
    months=None,
    crm=None,
    free_mail_domains=FREE_MAIL_DOMAINS,
    health_rules=None,
):
    """Recount every published table.

    `as_of` is an aware UTC datetime, `months` the collected months as `YYYY-MM` (default: B1's twelve and the running
    one), `crm` a `Crm` or None, `health_rules` the settings of health where they are not the defaults. Returns a dict
    of tables as interfaces.md 6 names them, each a list of dicts; further `batch_details` (dropped copies by reason,
    corrected clocks) and `rejected` (rows that belong to no month). `batches` carries the two terms of the equation in
    interfaces.md 6 that are no column there: left_out_copies and settled_copies.
    """
    months = sorted(months or months_up_to(as_of))
    crm = crm or crm_rows.Crm({})
    contact_addresses = [crm_rows.addresses_of(row) for row in crm.rows("contacts", "contactid")]
    people = People(export.rows.get("user", []), internal_domains, contact_addresses)
    emails, batches, batch_details, rejected = count_mail(export, people, months, cap)
    counted, planned, among_us = _activities(export, people, emails, months, as_of, crm)

    account_of = _accounts(people, crm, free_mail_domains)
    names = _names(counted, crm, people)
    records = _records(counted, people, crm, account_of, free_mail_domains, names)
    accounts_of = _memberships(records)
    with_contacts = strength.ties_with(counted, lambda contact: {contact})
    whom, components = strength.who_knows("contact_email", with_contacts, people, as_of)
    company, _ = strength.who_knows("account_id", strength.ties_with(counted, accounts_of), people, as_of)
    nodes, edges = strength.graph(
        with_contacts,
        strength.ties_among(among_us, people),
        people,
        lambda contact: (names.get(contact), account_of(contact)),
        as_of,
    )
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
        "who_knows_whom": whom,
        "who_knows_company": company,
        "strength_components": components,
        "graph_nodes": nodes,
        "graph_edges": edges,
        "health_components": [],
        "health_history": [],
        "alerts": [],
    }
    rules, of_contacts, last_of = health_rules or health.HealthRules(), {}, {}
    for record, description in records:
        activities = kpis.activities_of(record, links)
        meetings = kpis.activities_of(record, planned_links)
        row = description | kpis.measures(record, activities, meetings, as_of)
        answers = health.answers_of(activities)
        if record.type == "contact":
            of_contacts[record.id] = health.standings(activities, answers, as_of, rules)
            last_of[record.id] = row["last_interaction_at"]
        judged = health.judge(
            activities,
            answers,
            as_of,
            rules,
            closed=_closed(record, crm),
            rolled_up=[of_contacts[contact] for contact in record.outside] if record.type == "account" else None,
        )
        row |= {
            "health_score": judged.score,
            "health_state": judged.state,
            "health_trend": judged.trend,
            "health_reasons": judged.reasons,
        }
        tables[f"{record.type}_kpis"].append(row | {"computation_accuracy": accuracy, "as_of": as_of})
        tables["daily_activity"] += kpis.daily_activity(record, activities)
        tables["most_contacted"] += kpis.most_contacted(record, activities)
        _tell_health(tables, record, judged, rules, as_of)
        alert = health.silence_alert(judged, row["last_interaction_at"])
        if record.type == "account":
            members = [last_of[contact] for contact in record.outside]
            alert = health.single_threaded(len(activities), row["first_interaction_at"], members, as_of)
        if alert:
            kind, since, detail = alert
            tables["alerts"].append(_named(record, as_of) | {"kind": kind, "since": since, "detail": detail})
    return tables


def _named(record, as_of):
    return {"record_type": record.type, "record_id": record.id, "as_of": as_of}


def _tell_health(tables, record, judged, rules, as_of):
    for component, points, detail in judged.components:
        row = {"component": component, "points": points, "detail": detail}
        tables["health_components"].append(_named(record, as_of) | row)
    for month, (score, state) in judged.months.items():
        row = {"month": month, "health_score": score, "health_state": state}
        tables["health_history"].append(_named(record, as_of) | row)


def _closed(record, crm):
    """None for a record that is open or never closed, else when it was closed, True where the CRM does not say."""
    if record.type not in ("opportunity", "lead"):
        return None
    row = crm.by_id("opportunities" if record.type == "opportunity" else "leads", f"{record.type}id")[record.id]
    if row.get("statecode") in (None, "0"):
        return None
    return instant(row.get("actualclosedate")) or True


def _memberships(records):
    """-> the function from a contact to the accounts whose people it is one of."""
    accounts = {}
    for record, _ in records:
        if record.type == "account":
            for contact in record.outside:
                accounts.setdefault(contact, set()).add(record.id)
    return lambda contact: accounts.get(contact, set())


def _names(counted, crm, people):
    """-> contact: name."""
    names, named_at = {}, {}
    for activity in counted:
        name = activity.sender_name and activity.sender_name.split("<")[0].strip(" \"'\t")
        if activity.kind == "email" and not activity.by_us and name and "@" not in name:
            (contact,) = activity.outside
            if contact not in names or (activity.at, name) > (named_at[contact], names[contact]):
                names[contact], named_at[contact] = name, activity.at
    persons = crm_rows.contact_persons(crm, people)
    of_crm = {}
    for row in crm.rows("contacts", "contactid"):
        if row["contactid"] in persons and row.get("fullname"):
            of_crm.setdefault(persons[row["contactid"]], row["fullname"])
    return names | of_crm


def _activities(export, people, emails, months, as_of, crm):
    """-> (what counts in the window, meetings planned from `as_of` on, emails and meetings among colleagues)."""
    since = year_before(as_of)
    planned_until = month_start(month_after(month_of(as_of))) + timedelta(days=PLANNED_DAYS)
    persons = crm_rows.contact_persons(crm, people)
    email_links, meeting_links = crm_rows.regarding_links(crm, persons)
    counted, planned, among_us = [], [], []
    for of_month in emails.values():
        for email in of_month:
            if since <= email.received_at < as_of:
                counted.append(email_activity(email, people, email_links.get(email.key, set())))
                among_us.append(email_among_us(email, people))
    for meeting in count_meetings(export, people):
        links = meeting_links.get((meeting.uid, meeting.start), set()) | meeting_links.get((meeting.uid, None), set())
        if since <= meeting.start < as_of and month_of(meeting.start) in months:
            counted.append(meeting_activity(meeting, people, links))
            among_us.append(meeting_activity(meeting, people, among_us=True))
        elif as_of <= meeting.start < planned_until and month_of(as_of) in months:
            planned.append(meeting_activity(meeting, people, links))
    calls = crm_rows.phone_calls(crm, people, persons)
    counted += [call for call in calls if since <= call.at < as_of]
    return tuple([activity for activity in found if activity] for found in (counted, planned, among_us))


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


def _records(counted, people, crm, account_of, free_mail_domains, names):
    """-> [(Record, the columns that describe it)] for every contact, account, opportunity and lead."""
    persons = crm_rows.contact_persons(crm, people)
    crm_accounts = crm.by_id("accounts", "accountid")

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
