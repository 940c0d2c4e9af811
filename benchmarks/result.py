"""What a benchmark says: a table for people, the JSON of interfaces.md 7 for machines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.measure import Measurement


@dataclass(frozen=True)
class Peer:
    """Another way to do the same work, measured in the same run. `figure` is in the benchmark's unit.

    `ratio` is how much the project costs for each unit of the peer's cost, in CPU seconds unless `note` says otherwise;
    `limit` is the highest ratio that meets the target, None where the peer stands beside for information only.
    """

    figure: float
    ratio: float
    limit: float | None
    note: str = ""

    @property
    def met(self) -> bool:
        return self.limit is None or self.ratio <= self.limit


@dataclass(frozen=True)
class Bound:
    """A further figure that the target names (peak memory, a cold look-up)."""

    figure: float
    limit: float
    unit: str

    @property
    def met(self) -> bool:
        return self.figure <= self.limit


@dataclass(frozen=True)
class Result:
    """One benchmark's outcome. `at_least`: the figure must reach the limit instead of staying below it. `scale`: how many
    times larger the target's input is than what was measured; the figure in proportion is held against the limit."""

    id: str
    title: str
    figure: float
    unit: str
    target: str
    limit: float
    cost: Measurement
    messages: int | None
    at_least: bool = False
    scale: float = 1.0
    peers: Mapping[str, Peer] = field(default_factory=dict)
    bounds: Mapping[str, Bound] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def met(self) -> bool:
        reached = self.figure >= self.limit if self.at_least else self.figure * self.scale <= self.limit
        return reached and all(part.met for part in (*self.peers.values(), *self.bounds.values()))

    def to_json(self) -> str:
        return json.dumps(
            {
                "id": self.id,
                "figure": _short(self.figure),
                "unit": self.unit,
                "target": self.target,
                "met": self.met,
                "peers": {
                    name: {
                        "figure": _short(peer.figure),
                        "ratio": _short(peer.ratio),
                        "limit": peer.limit,
                        "note": peer.note,
                    }
                    for name, peer in self.peers.items()
                },
                "bounds": {
                    name: {"figure": _short(bound.figure), "limit": bound.limit, "unit": bound.unit}
                    for name, bound in self.bounds.items()
                },
                "peak_rss_bytes": self.cost.peak_rss_bytes,
                "cpu_seconds": _short(self.cost.cpu_seconds),
                "messages": self.messages,
                "figure_at_target_size": _short(self.figure * self.scale),
                "details": dict(self.details),
            }
        )

    def print(self) -> None:
        table = Table(title=f"{self.id}  {self.title}", title_justify="left", header_style="bold", pad_edge=False)
        for name in ("", "figure", "ratio", "target", "met"):
            table.add_column(name, justify="left" if name in ("", "target") else "right")
        table.add_row("relationship_pipeline", f"{self.figure:,.4g} {self.unit}", "", self.target, _yes(self.met))
        for name, bound in self.bounds.items():
            limit = f"at most {bound.limit:,.4g} {bound.unit}"
            table.add_row(name, f"{bound.figure:,.4g} {bound.unit}", "", limit, _yes(bound.met))
        for name, peer in self.peers.items():
            limit = "" if peer.limit is None else f"ratio at most {peer.limit:,.4g}"
            table.add_row(
                name,
                f"{peer.figure:,.4g} {self.unit}",
                f"{peer.ratio:,.3g}",
                limit,
                "" if peer.limit is None else _yes(peer.met),
            )
        console = Console(width=140)
        console.print(table)
        lines = [f"peak memory {self.cost.peak_rss_bytes / 2**20:,.0f} MiB, CPU {self.cost.cpu_seconds:,.2f} s"]
        if self.messages is not None:
            lines.append(f"messages {self.messages:,}")
        if self.scale != 1.0:
            lines.append(f"in proportion, at the target's size: {self.figure * self.scale:,.4g} {self.unit}")
        lines += [f"{name}: {peer.note}" for name, peer in self.peers.items() if peer.note]
        lines += [f"{name.replace('_', ' ')}: {value}" for name, value in self.details.items()]
        for line in lines:
            console.print(line, highlight=False, soft_wrap=True)


def _yes(met: bool) -> str:
    return "yes" if met else "no"


def _short(value: float) -> float:
    return float(f"{value:.6g}")
