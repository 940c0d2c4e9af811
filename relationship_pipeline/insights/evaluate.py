"""Does the score predict? Strength against next month's contact, health against silence (product.md K8).

Set-based: the messages are read once into DuckDB, each cut is one aggregation over what lies before it (models in
`evaluation/`), and only one row a pair comes back to be ranked. Works on a Parquet file as well as on the lake.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from relationship_pipeline.domain.health import DEFAULT_CONSTANTS as HEALTH
from relationship_pipeline.domain.ties import DEFAULT_CONSTANTS, TieConstants
from relationship_pipeline.errors import BadInput
from relationship_pipeline.insights.ranking_metrics import (
    Mean,
    average_precision,
    best_within,
    mean_over_cuts,
    ranks_within,
    roc_auc,
)
from relationship_pipeline.lake.engine import sql
from relationship_pipeline.settings import HealthSettings

if TYPE_CHECKING:
    import duckdb

BASELINES = (
    "count_365d",
    "count_28d",
    "recency",
    "half_life_7",
    "half_life_14",
    "half_life_30",
    "half_life_60",
    "half_life_90",
    "interactions_rank",
    "bilateral",
)
SCORES = ("strength", *BASELINES)
SILENCE_SCORES = ("health", "recency", "count_28d", "count_365d")

CUT_EVERY = timedelta(days=30)
HORIZON = timedelta(days=60)
"""`introducer` and `silence` look this far past a cut."""
TOP = 5
LEAST_MESSAGES_FOR_HEALTH = 3

_LISTS_OF_TEXT = ("VARCHAR[]", "BLOB[]", '"NULL"', '"NULL"[]')
"""Types of a column of addresses; of nothing but nulls a writer knows no better."""

Columns = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class CutCounts:
    """What one cut was measured on."""

    cut: datetime
    pairs: int
    positives: int

    @property
    def skipped(self) -> str | None:
        """Why the cut takes no part, or None."""
        if self.pairs == 0:
            return "no pairs"
        if self.positives == 0:
            return "no pair in contact after it"
        return "every pair in contact after it" if self.positives == self.pairs else None


@dataclass(frozen=True, slots=True)
class Section:
    """Figures by score and measure, means over `cuts` cuts; `cases` counts what was ranked. Empty without a case."""

    figures: Mapping[str, Mapping[str, Mean]] = field(default_factory=dict)
    cuts: int = 0
    cases: int = 0

    def to_json(self) -> dict[str, Any]:
        by_score: dict[str, Any] = {}
        for name, measures in self.figures.items():
            by_score[name] = {measure: mean.value for measure, mean in measures.items()}
            by_score[name] |= {f"{measure}_interval": [mean.low, mean.high] for measure, mean in measures.items()}
        return by_score


@dataclass(frozen=True, slots=True)
class EvaluationResult:
    """All figures of one run. `cuts` are all cuts tried, the skipped ones included, in order."""

    next_contact: Section
    introducer: Section
    silence: Section
    cuts: Sequence[CutCounts]
    internal_domains: Sequence[str]
    constants_version: int

    @property
    def pairs(self) -> int:
        """Rows ranked in `next_contact`: pairs, summed over the cuts that count."""
        return sum(cut.pairs for cut in self.cuts if cut.skipped is None)

    def to_json(self) -> dict[str, Any]:
        """The JSON document of interfaces.md 3 as plain values; every number is finite."""
        return {
            "next_contact": self.next_contact.to_json(),
            "introducer": self.introducer.to_json(),
            "silence": self.silence.to_json(),
            "cuts": [cut.cut.isoformat() for cut in self.cuts if cut.skipped is None],
            "skipped_cuts": [
                {"cut": cut.cut.isoformat(), "reason": cut.skipped} for cut in self.cuts if cut.skipped is not None
            ],
            "pairs": self.pairs,
            "positives": sum(cut.positives for cut in self.cuts if cut.skipped is None),
            "introducer_cases": self.introducer.cases,
            "silence_contacts": self.silence.cases,
            "internal_domains": list(self.internal_domains),
            "constants_version": self.constants_version,
        }


def evaluate_messages(
    source: Path | duckdb.DuckDBPyRelation,
    *,
    internal_domains: Sequence[str] = (),
    internal_addresses: Sequence[str] = (),
    cuts: Sequence[datetime] | None = None,
    meetings: duckdb.DuckDBPyRelation | None = None,
    health: HealthSettings = HealthSettings(),  # noqa: B008
    pairs_path: Path | None = None,
    constants: TieConstants = DEFAULT_CONSTANTS,
    connection: duckdb.DuckDBPyConnection | None = None,
    progress: Callable[[int, int], None] = lambda done, all_cuts: None,
) -> EvaluationResult:
    """Measures strength, health and every baseline of K8 on a history of messages.

    `source`: a Parquet file or a relation with message_id, sent_at (UTC where it has no zone), sender, recipients
    (list; null is none); other columns are ignored, but `conversation` (null where no answer is expected) tells health
    what was answered. `meetings`: meeting_id, start_at, organizer, attendees (list); they raise strengths, and make no
    universe and no label. With `internal_domains` (sub-domains included; `internal_addresses` are inside too) pairs are
    inside x outside; without, unordered pairs of all addresses, and `introducer` and `silence` are empty, as nobody
    is outside. `cuts`: aware or UTC; default K8's. `pairs_path`: also writes cut, a, b, label, strength and every
    baseline of the cuts that count as Parquet, whole or not at all. `connection`: DuckDB with the caller's memory
    limit and spill folder; only temporary tables are made in it.

    Raises BadInput in one line: unreadable file, missing or mistyped column, no messages, history too short for the
    default cuts, internal domains that nobody or everybody belongs to.
    """
    domains = tuple(sorted({domain.strip().lower().lstrip("@.") for domain in internal_domains} - {""}))
    with _session(connection) as session:
        _load(session, source, meetings, domains, internal_addresses, constants, health)
        data_until, default_cuts = _default_cuts(session)
        if cuts is None and not default_cuts:
            raise BadInput("the messages span too little time for the default cuts (150 days); name some with --cuts")
        run = _Run(session, data_until, bool(domains or internal_addresses))
        wanted = default_cuts if cuts is None else sorted({_naive_utc(cut) for cut in cuts})
        with _pairs_writer(pairs_path) as write_pairs:
            for number, cut in enumerate(wanted):
                run.measure(cut, write_pairs)
                progress(number + 1, len(wanted))
        return run.result(domains, constants.version)


class _Run:
    """Gathers figures cut by cut over one prepared session."""

    def __init__(self, session: duckdb.DuckDBPyConnection, data_until: datetime, directed: bool) -> None:
        self._session = session
        self._data_until = data_until
        self._directed = directed
        self._cuts: list[CutCounts] = []
        self._next_contact = _Figures()
        self._introducer = _Figures()
        self._silence = _Figures()

    def measure(self, cut: datetime, write_pairs: Callable[[duckdb.DuckDBPyConnection, datetime], None]) -> None:
        self._session.execute(_sql("evaluation_ties"), {"cut": cut, "directed": self._directed})
        ties = self._session.execute("from evaluation_ties").fetchnumpy()
        labels = ties["label"]
        counts = CutCounts(cut.replace(tzinfo=UTC), labels.size, int(labels.sum()))
        self._cuts.append(counts)
        if counts.skipped is None:
            self._next_contact.add({name: _ranking(labels, ties[name]) for name in SCORES}, cases=counts.pairs)
            write_pairs(self._session, cut)
        if self._directed and cut + HORIZON <= self._data_until and counts.pairs:
            self._measure_introducer(ties, cut)
            self._measure_silence(cut)

    def _measure_introducer(self, ties: Columns, cut: datetime) -> None:
        """A case is a known contact in touch within 60 days: where stood the best placed colleague of those?"""
        [(cases,)] = self._session.execute(_sql("evaluation_introducer_cases"), {"cut": cut}).fetchall()
        if not cases:
            return
        in_touch = ties["in_touch_60_days"]
        figures = {}
        for name in SCORES:
            ranks = ranks_within(ties["b"], -ties[name], ties["last_age"], ties["a"])
            best = best_within(ties["b"][in_touch], ranks[in_touch])
            figures[name] = {
                f"hit_rate_at_{TOP}": float((best <= TOP).sum()) / cases,
                "hit_rate_at_1": float((best == 1).sum()) / cases,
                "mrr": float((1.0 / best).sum()) / cases,
            }
        self._introducer.add(figures, cases)

    def _measure_silence(self, cut: datetime) -> None:
        self._session.execute(_sql("evaluation_health"), {"cut": cut})
        contacts = self._session.execute(
            _sql("evaluation_contacts"), {"cut": cut, "least_messages": LEAST_MESSAGES_FOR_HEALTH}
        ).fetchnumpy()
        silent = contacts["silent"]
        if silent.any() and not silent.all():
            figures = {name: _ranking(silent, contacts[name]) for name in SILENCE_SCORES}
            self._silence.add(figures, cases=silent.size)

    def result(self, domains: Sequence[str], version: int) -> EvaluationResult:
        return EvaluationResult(
            next_contact=self._next_contact.section(),
            introducer=self._introducer.section(),
            silence=self._silence.section(),
            cuts=tuple(self._cuts),
            internal_domains=domains,
            constants_version=version,
        )


class _Figures:
    """One dict of score -> measure -> value a cut, averaged at the end."""

    def __init__(self) -> None:
        self._by_cut: list[Mapping[str, Mapping[str, float]]] = []
        self._cases = 0

    def add(self, figures: Mapping[str, Mapping[str, float]], cases: int) -> None:
        self._by_cut.append(figures)
        self._cases += cases

    def section(self) -> Section:
        if not self._by_cut:
            return Section()
        means = {
            score: {
                measure: mean_over_cuts([figures[score][measure] for figures in self._by_cut]) for measure in measures
            }
            for score, measures in self._by_cut[0].items()
        }
        return Section(means, len(self._by_cut), self._cases)


def _ranking(labels: npt.NDArray[np.bool_], scores: npt.NDArray[np.float64]) -> dict[str, float]:
    return {"auc": roc_auc(labels, scores), "average_precision": average_precision(labels, scores)}


@contextmanager
def _session(connection: duckdb.DuckDBPyConnection | None) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection whose temporary tables and time zone are its own; closed at the end."""
    import duckdb

    session = duckdb.connect() if connection is None else connection.cursor()
    try:
        session.execute("set timezone = 'UTC'")
        session.execute("set enable_progress_bar = false")
        yield session
    finally:
        session.close()


def _load(
    session: duckdb.DuckDBPyConnection,
    source: Path | duckdb.DuckDBPyRelation,
    meetings: duckdb.DuckDBPyRelation | None,
    domains: Sequence[str],
    internal_addresses: Sequence[str],
    constants: TieConstants,
    health: HealthSettings,
) -> None:
    """Makes the tables that all cuts share."""
    import duckdb

    directed = bool(domains or internal_addresses)
    for macros in ("tie_macros", "health_macros"):
        session.execute(sql("relationship_pipeline.insights", macros))
    session.execute("create temp table tie_constants as select $k as k", {"k": dataclasses.asdict(constants)})
    health_constants = dataclasses.asdict(HEALTH) | health.model_dump()
    session.execute("create temp table health_constants as select $k as k", {"k": health_constants})
    no_meetings = session.sql(
        "select '' as meeting_id, now() as start_at, '' as organizer, cast([] as varchar[]) as attendees limit 0"
    )
    try:
        # One after the other: both may be read through one connection, which streams one result at a time.
        plain = ("message_id", "sent_at", "sender")
        _attach(session, "evaluation_source", source, plain, "recipients", ("conversation",))
        session.execute(_sql("evaluation_messages"))
        plain = ("meeting_id", "start_at", "organizer")
        _attach(session, "evaluation_meeting_source", no_meetings if meetings is None else meetings, plain, "attendees")
        session.execute(_sql("evaluation_meetings"))
    except duckdb.ConversionException:
        raise BadInput("sent_at or start_at holds something that is not a time; write ISO 8601 or timestamps") from None
    except duckdb.Error as error:
        raise BadInput(f"the messages cannot be read ({type(error).__name__}); is the file whole?") from None
    inside_by = {"internal_domains": list(domains), "internal_addresses": list(internal_addresses)}
    session.execute(_sql("evaluation_addresses"), inside_by)
    [(messages, inside, outside)] = session.execute(_sql("evaluation_sides")).fetchall()
    if not messages:
        raise BadInput("there are no messages with a time in the source")
    if directed and not (inside and outside):
        side = "inside" if not inside else "outside"
        raise BadInput(f"no address is {side} with internal domains {', '.join(domains)}; check --internal-domain")
    session.execute(_sql("evaluation_events"), {"directed": directed, "largest_audience": constants.largest_audience})


def _attach(
    session: duckdb.DuckDBPyConnection,
    name: str,
    source: Path | duckdb.DuckDBPyRelation,
    plain: Sequence[str],
    listed: str,
    optional: Sequence[str] = (),
) -> None:
    """Makes the needed columns of a file or of another connection's relation readable, once, under a name."""
    import duckdb

    if isinstance(source, Path):
        if not source.is_file():
            raise BadInput(f"{source}: no such file; --messages takes one Parquet file")
        try:
            relation = session.cursor().read_parquet(str(source))
        except duckdb.Error:
            raise BadInput(f"{source}: not a readable Parquet file") from None
    else:
        relation = source
    # DuckDB reads names in any case.
    types = {name.lower(): str(kind) for name, kind in zip(relation.columns, relation.types, strict=True)}
    missing = [column for column in (*plain, listed) if column not in types]
    if missing:
        raise BadInput(f"the source has no column {', '.join(missing)}; needed are {', '.join((*plain, listed))}")
    if types[listed] not in _LISTS_OF_TEXT:
        raise BadInput(f"column {listed} is {types[listed][:40]}; it must be a list of addresses")
    columns = [duckdb.ColumnExpression(column).alias(column) for column in plain]
    columns.append(duckdb.ColumnExpression(listed).cast("varchar[]").alias(listed))
    for column in optional:
        found = duckdb.ColumnExpression(column) if column in types else duckdb.ConstantExpression(None)
        columns.append(found.cast("varchar").alias(column))
    needed = relation.select(*columns)
    session.register(name, needed.to_arrow_reader())


def _default_cuts(session: duckdb.DuckDBPyConnection) -> tuple[datetime, list[datetime]]:
    """The end of the data (99.9 percentile) and K8's default cuts, naive UTC."""
    [(first, last, data_until)] = session.execute(_sql("evaluation_default_cuts")).fetchall()
    count = math.floor((last - first) / CUT_EVERY) + 1
    return data_until, [first + number * CUT_EVERY for number in range(max(count, 0))]


def _naive_utc(instant: datetime) -> datetime:
    return instant if instant.tzinfo is None else instant.astimezone(UTC).replace(tzinfo=None)


@contextmanager
def _pairs_writer(path: Path | None) -> Iterator[Callable[[duckdb.DuckDBPyConnection, datetime], None]]:
    """Writes the pairs of each cut to a Parquet file that appears when all are in it."""
    if path is None:
        yield lambda session, cut: None
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [
            ("cut", pa.timestamp("us", tz="UTC")),
            ("a", pa.string()),
            ("b", pa.string()),
            ("label", pa.bool_()),
            *((name, pa.float64()) for name in SCORES),
        ]
    )
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with pq.ParquetWriter(unfinished, schema) as writer:

            def write(session: duckdb.DuckDBPyConnection, cut: datetime) -> None:
                for batch in session.sql(_sql("evaluation_pairs"), params={"cut": cut}).to_arrow_reader():
                    writer.write_batch(batch.cast(schema))

            yield write
        unfinished.replace(path)
    except OSError as error:
        raise BadInput(f"{path}: cannot be written ({error.strerror or 'input/output error'})") from None
    finally:
        unfinished.unlink(missing_ok=True)


def _sql(model: str) -> str:
    return sql("relationship_pipeline.insights.evaluation", model)


def as_json_text(result: EvaluationResult) -> str:
    """One JSON document with a line end, numbers as numbers, no NaN."""
    return json.dumps(result.to_json(), indent=2, allow_nan=False) + "\n"
