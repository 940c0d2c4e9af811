"""P6: what an email costs in a large month over what it costs in a small one."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.collecting import data_connect_import
from benchmarks.context import Context
from benchmarks.insights import BATCH, interactions
from benchmarks.result import Peer, Result


def growth(context: Context) -> Result:
    """CPU seconds an email at N over N/10, for the import (P2) and the interactions (P3); the figure is the larger."""
    large = context.count(BATCH)
    small = max(1_000, large // 10)
    ratios, costs = {}, {}
    for name, case in (("import", data_connect_import), ("interactions", interactions)):
        at_large = case(replace(context, messages=large))
        at_small = case(replace(context, messages=small))
        per_large, per_small = at_large.cost.cpu_seconds / large, at_small.cost.cpu_seconds / small
        ratios[name] = per_large / per_small
        costs[name] = {"large": round(per_large * 1e6, 2), "small": round(per_small * 1e6, 2)}
    worst = at_large.cost
    return Result(
        id="P6",
        title=f"cost of an email at {large:,} over its cost at {small:,}",
        figure=max(ratios.values()),
        unit="times",
        target="at most 1.2 times (8 M against 0.8 M)",
        limit=1.2,
        cost=worst,
        messages=large,
        peers={
            name: Peer(ratio, ratio, 1.2, "CPU seconds an email, start of the process included")
            for name, ratio in ratios.items()
        },
        details={"cpu_seconds_per_million": costs},
    )
