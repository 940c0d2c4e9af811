"""An evaluation as tables for people: one a question, best score first, with what the figures rest on."""

from __future__ import annotations

from rich.console import Group
from rich.table import Table
from rich.text import Text

from relationship_pipeline.insights.evaluate import EvaluationResult, Section

_TITLES = {
    "auc": "AUC",
    "average_precision": "average precision",
    "hit_rate_at_5": "in top 5",
    "hit_rate_at_1": "first",
    "mrr": "MRR",
}
_OURS = {"strength", "health"}


def evaluation_table(result: EvaluationResult) -> Group:
    """Renderable for `rich.print`: the three questions of K8, the score's own row in bold, skipped cuts below."""
    used = [cut for cut in result.cuts if cut.skipped is None]
    parts: list[Table | Text] = []
    if result.next_contact.figures:
        parts.append(_section("Who is in contact in the next 30 days?", result.next_contact, "pairs"))
    if result.introducer.figures:
        parts.append(_section("Who can introduce? (in touch in the next 60 days)", result.introducer, "contacts"))
    if result.silence.figures:
        parts.append(_section("Who falls silent for 60 days?", result.silence, "contacts"))
    if not result.internal_domains:
        parts.append(Text("No internal domain: all pairs counted; introducer and silence need --internal-domain."))
    if used:
        parts.append(
            Text(f"Cuts: {len(used)}, {used[0].cut:%Y-%m-%d} to {used[-1].cut:%Y-%m-%d}. Pairs: {result.pairs:,}.")
        )
    parts.extend(Text(f"Skipped {cut.cut:%Y-%m-%d}: {cut.skipped}.") for cut in result.cuts if cut.skipped is not None)
    return Group(*parts)


def _section(title: str, section: Section, noun: str) -> Table:
    measures = list(next(iter(section.figures.values())))
    table = Table(title=title, caption=f"{section.cases:,} {noun} over {section.cuts} cuts, their mean")
    table.add_column("score")
    for measure in measures:
        table.add_column(_TITLES[measure], justify="right")
        if measure == measures[0]:
            table.add_column("95 % interval", justify="right")
    ranked = sorted(section.figures.items(), key=lambda item: -item[1][measures[0]].value)
    for name, figures in ranked:
        cells = [f"{figures[measure].value:.4f}" for measure in measures]
        cells.insert(1, f"{figures[measures[0]].low:.3f} to {figures[measures[0]].high:.3f}")
        table.add_row(name, *cells, style="bold" if name in _OURS else None)
    return table
