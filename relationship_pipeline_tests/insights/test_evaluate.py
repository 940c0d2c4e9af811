"""`evaluate`: the definitions of product.md K8 against a slow and obvious recount, and its figures on real mail."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from relationship_pipeline.domain.health import HealthInputs, shares
from relationship_pipeline.domain.ties import Interaction, Kind, score, tie_sums
from relationship_pipeline.errors import BadInput
from relationship_pipeline.insights.evaluate import BASELINES, SCORES, as_json_text, evaluate_messages
from relationship_pipeline.insights.evaluation_table import evaluation_table
from relationship_pipeline.insights.ranking_metrics import average_precision, mean_over_cuts, roc_auc

REAL_DATA = Path(__file__).parents[3] / "shared" / "data"
START = datetime(2025, 1, 1, 8, tzinfo=UTC)
DAY = timedelta(days=1)


class Message(NamedTuple):
    message_id: str
    sent_at: datetime
    sender: str
    recipients: list[str] | None


def made_up_mail(seed: int, count: int = 500, days: int = 500) -> list[Message]:
    """Mail of a small company with a few outside people: habits, mailings, mail to oneself, no recipients."""
    chance = random.Random(seed)
    inside = [f"u{n}@in.test" for n in range(4)] + ["v@eu.in.test"]
    outside = [f"c{n}@out.test" for n in range(9)] + ["x@notin.test", "no address"]
    crowd = [f"list{n}@far.test" for n in range(60)]
    messages = []
    for number in range(count):
        sender = chance.choice(inside if chance.random() < 0.6 else outside)
        recipients: list[str] | None = chance.sample(inside + outside, chance.choice([1, 1, 1, 2, 3, 7]))
        if chance.random() < 0.02:
            recipients = chance.sample(crowd, chance.choice([45, 50, 51, 60]))
        if chance.random() < 0.02:
            recipients = chance.choice([None, []])
        sent_at = START + chance.random() * days * DAY
        messages.append(Message(f"m{number}", sent_at, sender, recipients))
    return messages


def write(messages: Sequence[Message], path: Path) -> Path:
    schema = pa.schema(
        [
            ("message_id", pa.string()),
            ("sent_at", pa.timestamp("us", tz="UTC")),
            ("sender", pa.string()),
            ("recipients", pa.list_(pa.string())),
            ("subject_of_another_system", pa.string()),
        ]
    )
    rows = [{**message._asdict(), "subject_of_another_system": "ignored"} for message in messages]
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
    return path


# --- the recount: K8 word by word, one pair and one message at a time


def is_inside(address: str, domain: str) -> bool:
    return address.endswith(("@" + domain, "." + domain))


def recount_events(messages: Sequence[Message], domain: str | None) -> Iterator[tuple[str, str, bool, Message, int]]:
    for message in messages:
        recipients = set(message.recipients or [])
        if len(recipients) > 50:
            continue
        for recipient in recipients - {message.sender}:
            if domain is None:
                a, b = sorted([message.sender, recipient])
                yield a, b, message.sender == a, message, len(recipients)
            elif is_inside(message.sender, domain) and not is_inside(recipient, domain):
                yield message.sender, recipient, True, message, len(recipients)
            elif is_inside(recipient, domain) and not is_inside(message.sender, domain):
                yield recipient, message.sender, False, message, len(recipients)


def recount(messages: Sequence[Message], domain: str | None, cut: datetime) -> dict[tuple[str, str], dict[str, float]]:
    """Label, strength and baselines of every pair of the universe at one cut."""
    past: dict[tuple[str, str], list[tuple[datetime, bool, int]]] = {}
    future: set[tuple[str, str]] = set()
    for a, b, outward, message, audience in recount_events(messages, domain):
        if cut - 365 * DAY <= message.sent_at < cut:
            past.setdefault((a, b), []).append((message.sent_at, outward, audience))
        elif cut <= message.sent_at < cut + 30 * DAY:
            future.add((a, b))
    rows = {}
    for pair, events in past.items():
        ages = [((cut - sent_at) / DAY, outward) for sent_at, outward, _ in events]

        def decayed(half_life: float, of: bool | None = None, ages: list[tuple[float, bool]] = ages) -> float:
            return sum(0.5 ** (age / half_life) for age, outward in ages if of is None or outward is of)

        ours, theirs = (5 * decayed(7, True), decayed(7, False)) if domain else (6 * decayed(7), 0.0)
        sums = tie_sums(
            [Interaction(at, Kind.OUTWARD if outward else Kind.INWARD, size) for at, outward, size in events], cut
        )
        assert sums is not None
        rows[pair] = {
            "label": float(pair in future),
            "strength": score(sums),
            "count_365d": float(len(events)),
            "count_28d": float(sum(age <= 28 for age, _ in ages)),
            "recency": -min(age for age, _ in ages),
            **{f"half_life_{h}": decayed(h) for h in (7, 14, 30, 60, 90)},
            "interactions_rank": ours + theirs,
            "bilateral": (decayed(60, True) * decayed(60, False)) ** 0.5,
        }
    return rows


def slow_auc(labels: Sequence[float], scores: Sequence[float]) -> float:
    wins = [
        (good > bad) + 0.5 * (good == bad)
        for good, yes in zip(scores, labels, strict=True)
        for bad, no in zip(scores, labels, strict=True)
        if yes and not no
    ]
    return sum(wins) / len(wins)


def slow_average_precision(labels: Sequence[float], scores: Sequence[float]) -> float:
    total, found_before = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        kept = [label for label, value in zip(labels, scores, strict=True) if value >= threshold]
        total += (sum(kept) - found_before) * sum(kept) / len(kept)
        found_before = sum(kept)
    return total / sum(labels)


ranked = st.lists(st.tuples(st.booleans(), st.integers(min_value=-3, max_value=3)), min_size=2, max_size=30).filter(
    lambda rows: len({label for label, _ in rows}) == 2
)


@given(ranked)
def test_auc_and_average_precision_equal_their_definitions(rows: list[tuple[bool, int]]) -> None:
    labels, scores = [row[0] for row in rows], [float(row[1]) for row in rows]
    fast = np.array(labels), np.array(scores)
    assert roc_auc(*fast) == pytest.approx(slow_auc(labels, scores))
    assert average_precision(*fast) == pytest.approx(slow_average_precision(labels, scores))


def test_the_interval_holds_the_mean_and_is_the_same_every_time() -> None:
    values = [0.7, 0.8, 0.9, 0.75]
    mean = mean_over_cuts(values)
    assert mean.value == pytest.approx(0.7875)
    assert mean.low < mean.value < mean.high
    assert mean == mean_over_cuts(values)
    one = mean_over_cuts([0.5])
    assert (one.low, one.value, one.high) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize("domain", [None, "in.test"])
@pytest.mark.parametrize("seed", [1, 2])
def test_k8_next_contact_equals_the_recount(tmp_path: Path, seed: int, domain: str | None) -> None:
    messages = made_up_mail(seed)
    cuts = [START + days * DAY for days in (30, 400, 460)]
    result = evaluate_messages(
        write(messages, tmp_path / "mail.parquet"),
        internal_domains=[domain] if domain else [],
        cuts=cuts,
        pairs_path=tmp_path / "pairs.parquet",
    )
    written = pq.read_table(tmp_path / "pairs.parquet").to_pylist()
    assert set(written[0]) == {"cut", "a", "b", "label", *SCORES}
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in SCORES}
    for cut in cuts:
        expected = recount(messages, domain, cut)
        found = {(row["a"], row["b"]): row for row in written if row["cut"] == cut}
        assert set(found) == set(expected)
        for pair, row in expected.items():
            assert {name: float(found[pair][name]) for name in row} == pytest.approx(row, rel=1e-7, abs=1e-9)
        labels = [row["label"] for row in expected.values()]
        for name in SCORES:
            # ties are ties to the recount too, whatever order its doubles were added in
            scores = [round(row[name], 9) for row in expected.values()]
            figures[name].append((slow_auc(labels, scores), slow_average_precision(labels, scores)))
    for name in SCORES:
        mean_auc, mean_ap = np.mean(figures[name], axis=0)
        assert result.next_contact.figures[name]["auc"].value == pytest.approx(mean_auc, abs=2e-3)
        assert result.next_contact.figures[name]["average_precision"].value == pytest.approx(mean_ap, abs=5e-3)
    assert result.pairs == len(written)


def test_k8_default_cuts_run_every_30_days_between_the_percentiles(tmp_path: Path) -> None:
    messages = made_up_mail(3)
    result = evaluate_messages(write(messages, tmp_path / "mail.parquet"))
    times = [message.sent_at.timestamp() for message in messages]
    first = np.percentile(times, 0.1) + 120 * 86400
    last = np.percentile(times, 99.9) - 30 * 86400
    found = [cut.cut.timestamp() for cut in result.cuts]
    assert found == pytest.approx(list(np.arange(first, last, 30 * 86400)), abs=1e-3)


def test_k8_no_score_at_a_cut_sees_anything_after_it(tmp_path: Path) -> None:
    messages = made_up_mail(4)
    cut = START + 300 * DAY
    scores = []
    for number, known in enumerate([messages, [message for message in messages if message.sent_at < cut + 2 * DAY]]):
        pairs = tmp_path / f"{number}.parquet"
        evaluate_messages(
            write(known, tmp_path / "mail.parquet"), internal_domains=["in.test"], cuts=[cut], pairs_path=pairs
        )
        rows = pq.read_table(pairs).to_pylist()
        scores.append({(row["a"], row["b"]): [row[name] for name in SCORES] for row in rows})
    whole, cut_off = scores
    assert len(whole) > 50
    assert whole.keys() == cut_off.keys()
    for pair, values in whole.items():
        assert values == pytest.approx(cut_off[pair], rel=1e-9)


def test_k8_introducer_asks_where_the_colleague_in_touch_had_stood(tmp_path: Path) -> None:
    cut = START + 200 * DAY
    colleagues = [f"u{n}@in.test" for n in range(7)]

    def mail(number: int, days: float, sender: str, recipient: str) -> Message:
        return Message(f"i{number}", cut + days * DAY, sender, [recipient])

    # the more often, the higher: u0 stands first, u6 last
    history = [
        mail(100 * n + k, -3 * k - 1, colleague, "c@out.test")
        for n, colleague in enumerate(colleagues)
        for k in range(10 - n)
    ]
    history += [mail(900 + k, -150 + k, "old@out.test", "u0@in.test") for k in range(3)]
    later = [
        mail(1000, 45, "c@out.test", "u1@in.test"),
        mail(1001, 50, "c@out.test", "u6@in.test"),
        mail(1002, 5, "old@out.test", "u5@in.test"),
        mail(1003, 5, "new@out.test", "u5@in.test"),
        mail(1004, 80, "c@out.test", "u0@in.test"),
    ]
    result = evaluate_messages(
        write(history + later, tmp_path / "mail.parquet"), internal_domains=["in.test"], cuts=[cut]
    )
    # c: u1 stood second; old: only a colleague without a tie was in touch, a miss; new: not known before, no case
    assert result.introducer.cases == 2
    for name in ("strength", "count_365d"):
        figures = {measure: mean.value for measure, mean in result.introducer.figures[name].items()}
        assert figures == {"hit_rate_at_5": 0.5, "hit_rate_at_1": 0.0, "mrr": 0.25}


def recounted_health(messages: Sequence[Message], contact: str, cut: datetime) -> float | None:
    """Product.md 7 with the definition's own arithmetic; these messages have no conversations."""
    events = [
        (message.message_id, message.sent_at, outward)
        for a, b, outward, message, _ in recount_events(messages, "in.test")
        if b == contact and cut - 365 * DAY <= message.sent_at < cut
    ]
    emails = {name: (sent_at, outward) for name, sent_at, outward in events}
    if len(emails) < 3:
        return None
    ages = [((cut - timedelta(microseconds=1)).date() - sent_at.date()).days for sent_at, _ in emails.values()]
    ours = sum(outward for _, outward in emails.values())
    inputs = HealthInputs(
        activity=sum(0.5 ** (age / 30) for age in ages),
        days_since_last=min(ages),
        ours=ours,
        theirs=len(emails) - ours,
    )
    parts = shares(inputs, cadence_days=7)
    return 30 * parts["activity"] + 30 * parts["recency"] + 20 * parts["engagement"] + 20 * parts["responsiveness"]


def test_k8_silence_is_predicted_by_health_from_what_was_before_the_cut(tmp_path: Path) -> None:
    messages = made_up_mail(5, count=900)
    cut = START + 250 * DAY
    # half of the outside people fall silent at the cut
    fading = {f"c{n}@out.test" for n in range(0, 9, 2)}
    messages = [
        message
        for message in messages
        if message.sent_at < cut or not fading & {message.sender, *(message.recipients or [])}
    ]
    result = evaluate_messages(write(messages, tmp_path / "mail.parquet"), internal_domains=["in.test"], cuts=[cut])
    outside = {b for _, b, _, _, _ in recount_events(messages, "in.test")}
    health = {contact: recounted_health(messages, contact, cut) for contact in outside}
    later = {
        b for _, b, _, message, _ in recount_events(messages, "in.test") if cut <= message.sent_at < cut + 60 * DAY
    }
    scored = [(float(contact not in later), -score) for contact, score in health.items() if score is not None]
    labels, scores = [row[0] for row in scored], [row[1] for row in scored]
    figures = result.silence.figures
    assert set(figures) == {"health", "recency", "count_28d", "count_365d"}
    assert result.silence.cases == len(scored)
    assert figures["health"]["auc"].value == pytest.approx(slow_auc(labels, scores))
    assert figures["health"]["average_precision"].value == pytest.approx(slow_average_precision(labels, scores))


def test_k8_health_sees_answers_where_the_source_tells_conversations(tmp_path: Path) -> None:
    """Two contacts with the same mail at the same times; only one of them is answered in the same conversation."""
    cut = START + 30 * DAY
    rows = []
    for contact, answered_in in (("kept@out.test", "same"), ("lost@out.test", "another")):
        for day in (1, 5, 9):
            question = {"sender": contact, "recipients": ["u@in.test"], "conversation": f"{contact} {day} same"}
            answer = {"sender": "u@in.test", "recipients": [contact], "conversation": f"{contact} {day} {answered_in}"}
            rows.append({"message_id": f"q {contact} {day}", "sent_at": START + day * DAY, **question})
            rows.append({"message_id": f"a {contact} {day}", "sent_at": START + (day + 1) * DAY, **answer})
    last = {"sender": "kept@out.test", "recipients": ["u@in.test"], "conversation": "later"}
    rows.append({"message_id": "later", "sent_at": cut + 5 * DAY, **last})
    rows.append({**rows[-1], "message_id": "end", "sent_at": cut + 90 * DAY})
    told, untold = pa.Table.from_pylist(rows), pa.Table.from_pylist(rows).drop_columns("conversation")
    figures = []
    for number, table in enumerate((told, untold)):
        path = tmp_path / f"{number}.parquet"
        pq.write_table(table, path)
        figures.append(evaluate_messages(path, internal_domains=["in.test"], cuts=[cut]).silence.figures)
    assert [found["health"]["auc"].value for found in figures] == [1.0, 0.5]
    assert [found["recency"]["auc"].value for found in figures] == [0.5, 0.5]


def test_k8_a_cut_with_one_class_only_is_skipped_and_listed(tmp_path: Path) -> None:
    messages = made_up_mail(6, count=200)
    cuts = [START - 10 * DAY, START + 300 * DAY, START + 800 * DAY]
    result = evaluate_messages(write(messages, tmp_path / "mail.parquet"), cuts=cuts)
    document = json.loads(as_json_text(result))
    assert document["cuts"] == [cuts[1].isoformat()]
    assert [(skipped["cut"], skipped["reason"]) for skipped in document["skipped_cuts"]] == [
        (cuts[0].isoformat(), "no pairs"),
        (cuts[2].isoformat(), "no pair in contact after it"),
    ]
    assert set(document["next_contact"]) == {"strength", *BASELINES}
    assert set(document["next_contact"]["strength"]) >= {"auc", "average_precision"}
    assert document["introducer"] == document["silence"] == {}
    assert document["pairs"] > 0


def test_meetings_raise_a_strength_but_make_no_universe_and_no_label(tmp_path: Path) -> None:
    messages = made_up_mail(7)
    cut = START + 300 * DAY
    path = write(messages, tmp_path / "mail.parquet")
    with duckdb.connect() as lake:
        meetings = lake.sql(
            """
            select 'x' as meeting_id, timestamptz '2025-10-01 10:00:00+00' as start_at, 'u1@in.test' as organizer,
                ['C1@out.test', 'stranger@out.test'] as attendees
            union all
            select 'y', timestamptz '2025-11-10 10:00:00+00', 'u2@in.test', ['c2@out.test']
            """
        )
        tables = []
        for number, relation in enumerate([None, meetings]):
            pairs = tmp_path / f"{number}.parquet"
            evaluate_messages(
                path,
                internal_domains=["in.test"],
                cuts=[cut],
                meetings=relation,
                pairs_path=pairs,
                connection=lake,
            )
            tables.append({(row["a"], row["b"]): row for row in pq.read_table(pairs).to_pylist()})
        assert lake.sql("show tables").fetchall() == []
    without, with_meetings = tables
    assert without.keys() == with_meetings.keys()
    changed = {pair for pair in without if without[pair]["strength"] != with_meetings[pair]["strength"]}
    assert changed == {("u1@in.test", "c1@out.test")}
    pair = changed.pop()
    assert with_meetings[pair]["strength"] > without[pair]["strength"]
    assert all(without[p][name] == pytest.approx(row[name]) for p, row in with_meetings.items() for name in BASELINES)
    assert all(without[p]["label"] == row["label"] for p, row in with_meetings.items())


def test_copies_of_one_message_count_once(tmp_path: Path) -> None:
    messages = made_up_mail(8)
    cut = START + 300 * DAY
    copies = [*messages, *(message._replace(sent_at=message.sent_at + 90 * DAY) for message in messages[:100])]
    results = [
        evaluate_messages(write(rows, tmp_path / "mail.parquet"), cuts=[cut]).to_json() for rows in (messages, copies)
    ]
    assert results[0]["pairs"] == results[1]["pairs"]
    first, second = (result["next_contact"]["strength"] for result in results)
    assert first["auc"] == pytest.approx(second["auc"])
    assert first["average_precision"] == pytest.approx(second["average_precision"])


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"message_id": ["1"], "sender": ["a"]}, "no column sent_at, recipients"),
        ({"message_id": ["1"], "sent_at": [START], "sender": ["a"], "recipients": ["b"]}, "must be a list"),
        (
            {"message_id": ["1"], "sent_at": [START], "sender": ["a"], "recipients": [[{"address": "b"}]]},
            "must be a list of addresses",
        ),
        ({"message_id": ["1"], "sent_at": ["soon"], "sender": ["a"], "recipients": [["b"]]}, "not a time"),
        ({"message_id": ["1"], "sent_at": [START], "sender": ["a"], "recipients": [["b"]]}, "too little time"),
    ],
)
def test_a_source_that_cannot_be_used_is_one_line(tmp_path: Path, table: dict[str, list[Any]], says: str) -> None:
    path = tmp_path / "mail.parquet"
    pq.write_table(pa.table(table), path)
    with pytest.raises(BadInput, match=says) as refusal:
        evaluate_messages(path)
    assert "\n" not in str(refusal.value)


def test_names_in_another_case_and_a_column_of_nothing_but_nulls_are_read(tmp_path: Path) -> None:
    path = tmp_path / "mail.parquet"
    rows = {
        "MESSAGE_ID": ["1", "2"],
        "Sent_At": [START, START + DAY],
        "sender": ["a@x", "b@x"],
        "Recipients": [None] * 2,
    }
    pq.write_table(pa.table(rows), path)
    assert evaluate_messages(path, cuts=[START + 2 * DAY]).pairs == 0


def test_a_missing_or_broken_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such file"):
        evaluate_messages(tmp_path / "none.parquet")
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1 and no more")
    with pytest.raises(BadInput, match="not a readable Parquet file"):
        evaluate_messages(broken)
    damaged = write(made_up_mail(9), tmp_path / "damaged.parquet")
    content = bytearray(damaged.read_bytes())
    content[100:4000] = b"U" * 3900
    damaged.write_bytes(content)
    with pytest.raises(BadInput, match="is the file whole"):
        evaluate_messages(damaged)
    empty = write([], tmp_path / "empty.parquet")
    with pytest.raises(BadInput, match="no messages"):
        evaluate_messages(empty)
    with pytest.raises(BadInput, match="no address is inside"):
        evaluate_messages(write(made_up_mail(9), tmp_path / "mail.parquet"), internal_domains=["elsewhere.test"])


def test_pairs_appear_whole_or_not_at_all(tmp_path: Path) -> None:
    path = write(made_up_mail(9), tmp_path / "mail.parquet")
    with pytest.raises(BadInput, match="cannot be written"):
        evaluate_messages(path, pairs_path=tmp_path / "no folder" / "pairs.parquet")

    class Stopped(Exception):
        pass

    def stop(done: int, cuts: int) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        evaluate_messages(path, pairs_path=tmp_path / "pairs.parquet", progress=stop)
    assert sorted(item.name for item in tmp_path.iterdir()) == ["mail.parquet"]


def test_the_table_names_every_score_and_the_skipped_cuts(tmp_path: Path) -> None:
    path = write(made_up_mail(10), tmp_path / "mail.parquet")
    cuts = [START + 300 * DAY, START + 600 * DAY]
    result = evaluate_messages(path, internal_domains=["in.test"], cuts=cuts)
    console = Console(width=100)
    with console.capture() as capture:
        console.print(evaluation_table(result))
    text = capture.get()
    for name in SCORES:
        assert name in text
    assert "Who can introduce" in text
    assert f"Skipped {cuts[1]:%Y-%m-%d}: no pair in contact after it." in text


# --- the figures on real mail that docs/evaluate.md prints


def test_k8_on_real_internal_mail_strength_beats_every_baseline() -> None:
    path = REAL_DATA / "enron_internal.parquet"
    if not path.exists():
        pytest.skip("real mail is not here")
    figures = evaluate_messages(path).next_contact.figures
    assert figures["strength"]["auc"].value == pytest.approx(0.8317, abs=5e-4)
    assert figures["strength"]["average_precision"].value == pytest.approx(0.7603, abs=5e-4)
    for name in BASELINES:
        assert figures["strength"]["auc"].value > figures[name]["auc"].value
        assert figures["strength"]["average_precision"].value > figures[name]["average_precision"].value


def test_k8_on_a_real_export_strength_beats_every_baseline() -> None:
    folder = REAL_DATA / "enron_export" / "Message_v1"
    if not folder.exists():
        pytest.skip("real mail is not here")
    with duckdb.connect() as connection:
        messages = connection.sql(
            """
            with copies as (
                select
                    internetMessageId as message_id,
                    sentDateTime as sent_at,
                    "from".emailAddress.address as sender,
                    list_transform(list_concat(toRecipients, ccRecipients), lambda r: r.emailAddress.address) as named
                from read_json($files)
                where internetMessageId is not null
            )

            select message_id, min(sent_at) as sent_at, min(sender) as sender, flatten(list(named)) as recipients
            from copies
            group by message_id
            """,
            params={"files": str(folder / "*.gz")},
        )
        result = evaluate_messages(messages, internal_domains=["enron.com"])
    silence = {name: figures["auc"].value for name, figures in result.silence.figures.items()}
    assert silence["health"] == pytest.approx(0.7646, abs=2e-3)
    assert silence["health"] > silence["recency"]
    figures = result.next_contact.figures
    assert figures["strength"]["auc"].value == pytest.approx(0.8244, abs=2e-3)
    assert figures["strength"]["average_precision"].value == pytest.approx(0.4783, abs=5e-3)
    for name in BASELINES:
        assert figures["strength"]["auc"].value > figures[name]["auc"].value
        assert figures["strength"]["average_precision"].value > figures[name]["average_precision"].value
