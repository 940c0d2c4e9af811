"""What `evaluate` measures on the lake: the counted emails and meetings of the collected months, against the recount."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings

from relationship_pipeline.insights.evaluate import evaluate_messages
from relationship_pipeline.insights.lake_history import lake_history
from relationship_pipeline_tests.factories import Tenant, email, meeting, tenants, user, write_export
from relationship_pipeline_tests.insights.pipeline import collect
from relationship_pipeline_tests.oracle import read_export
from relationship_pipeline_tests.oracle.mail import count_mail
from relationship_pipeline_tests.oracle.meetings import count_meetings
from relationship_pipeline_tests.oracle.people import People

REAL_EXPORT = Path(__file__).parents[2] / ".." / "shared" / "data" / "enron_export"
NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
MEGAN, ALEX, ANA = "megan@contoso.com", "alex@old-contoso.example", "ana@fabrikam.com"
CONTOSO = {"internal_domains": ["contoso.com"], "as_of": datetime(2025, 5, 1, tzinfo=UTC)}


def history_of(context):
    with lake_history(context) as history:
        messages = sorted(
            (sent_at, sender or "", sorted(set(recipients or [])))
            for _, sent_at, sender, recipients, _ in history.messages.fetchall()
        )
        meetings = sorted(
            (start_at, sorted({*(attendees or []), organizer} - {None}))
            for _, start_at, organizer, attendees in history.meetings.fetchall()
        )
    return messages, meetings


def recounted(folder, months, internal_domains):
    export = read_export(folder)
    people = People(export.rows.get("user", []), internal_domains)

    def counts(person):
        return people.in_scope(person) or people.outside(person)

    emails, *_ = count_mail(export, people, months, 8_000_000)
    messages = sorted(
        (found.sent_at, found.sender, sorted(found.recipients))
        for month in months
        for found in emails[month]
        if found.sender and counts(found.sender)
    )
    meetings = []
    for found in count_meetings(export, people):
        ours = {who for who in found.not_declined() if people.in_scope(who)}
        if ours and f"{found.start:%Y-%m}" in months and not found.cancelled:
            meetings.append((found.start, sorted(ours | {who for who in found.answers if people.outside(who)})))
    return messages, sorted(meetings)


@settings(max_examples=8, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(tenants())
def test_random_tenants_give_the_messages_and_meetings_of_the_recount(tenant: Tenant) -> None:
    with TemporaryDirectory() as root:
        export, _ = tenant.write(Path(root))
        context = collect(
            Path(root) / "data", export, tenant.months, internal_domains=tenant.internal_domains, as_of=tenant.as_of
        )
        wanted_messages, wanted_meetings = recounted(export, tenant.months, tenant.internal_domains)
        messages, meetings = history_of(context)
    assert messages == wanted_messages
    assert meetings == wanted_meetings


def test_a_colleague_in_a_foreign_domain_is_inside_and_one_out_of_scope_makes_no_pair(tmp_path: Path) -> None:
    rows = []
    for day in range(20):
        at = NOON + day * DAY
        rows += email([ALEX], sender="ALEX.alias@contoso.com", to=[ANA], at=at, folder="Sent Items")
        rows += email([MEGAN], sender=ANA, to=[MEGAN], at=at + DAY / 4)
        rows += email([MEGAN], sender="temp@contoso.com", to=["bert@fabrikam.com", MEGAN], at=at + DAY / 2)
    export = write_export(
        tmp_path / "export",
        User_v1=[user(MEGAN), user(ALEX, aliases=["alex.alias@contoso.com"])],
        Message_v1=rows,
        CalendarView_v0=meeting([MEGAN], organizer=MEGAN, attendees=[ANA], start=NOON + 3 * DAY),
    )
    context = collect(tmp_path / "data", export, ["2025-03"], **CONTOSO)
    with lake_history(context) as history:
        result = evaluate_messages(
            history.messages,
            internal_domains=["contoso.com"],
            internal_addresses=[MEGAN, ALEX],
            cuts=[NOON + 10 * DAY],
            meetings=history.meetings,
            connection=history.connection,
        )
    assert [cut.pairs for cut in result.cuts] == [2]


def test_an_email_over_a_months_end_is_one_message_with_all_its_recipients(tmp_path: Path) -> None:
    """B5, in whatever order the months were collected; nothing of the reading is left in the epoch."""
    midnight = datetime(2025, 4, 1, tzinfo=UTC)
    over_the_end = {"sender": ANA, "message_id": "<one@fabrikam.com>"}
    rows = [
        *email([MEGAN], to=[MEGAN], at=midnight - DAY / 1440, **over_the_end),
        *email([ALEX], to=[ALEX], at=midnight + DAY / 1440, **over_the_end),
    ]
    export = write_export(tmp_path / "export", User_v1=[user(MEGAN), user(ALEX)], Message_v1=rows)
    context = collect(tmp_path / "data", export, ["2025-03", "2025-04"], order=["2025-04", "2025-03"], **CONTOSO)
    messages, _ = history_of(context)
    assert messages == [(midnight - DAY / 1440, ANA, [ALEX, MEGAN])]
    assert list(context.layout.spill.iterdir()) == []


@pytest.mark.skipif(not REAL_EXPORT.exists(), reason="the real export is not at hand")
def test_k8_on_the_lake_of_a_real_export_strength_and_health_beat_the_baselines(tmp_path: Path) -> None:
    """The figures that docs/evaluate.md prints."""
    months = [f"2001-{month:02}" for month in range(2, 13)] + ["2002-01"]
    context = collect(
        tmp_path, REAL_EXPORT, months, internal_domains=["enron.com"], as_of=datetime(2002, 2, 1, tzinfo=UTC)
    )
    with lake_history(context) as history:
        result = evaluate_messages(
            history.messages,
            internal_domains=["enron.com"],
            meetings=history.meetings,
            connection=history.connection,
        )
    strengths = {name: figures["auc"].value for name, figures in result.next_contact.figures.items()}
    assert strengths["strength"] == pytest.approx(0.7992, abs=2e-3)
    assert strengths["strength"] >= max(strengths.values()) - 0.01
    silence = {name: figures["auc"].value for name, figures in result.silence.figures.items()}
    assert silence["health"] == pytest.approx(0.7612, abs=2e-3)
    assert silence["health"] > silence["recency"]
