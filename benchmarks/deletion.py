"""P8: forgetting a tenant, and looking whether anything is left."""

from __future__ import annotations

from benchmarks.context import Context
from benchmarks.measure import BenchmarkError, run
from benchmarks.result import Bound, Peer, Result
from benchmarks.year import FULL, ensure_published, open_year


def deletion(context: Context) -> Result:
    """From the withdrawal to VERIFIED, and a scan of the whole tenant beside reading its bytes once. The year is gone
    afterwards, so there is one run. Not held against the target in proportion: the number of files, which does not grow
    with the tenant, weighs as much as their size."""
    emails = context.count(FULL)
    year = open_year(context, emails)
    ensure_published(year)
    reading = run(["-m", "benchmarks.peers", "read_bytes", str(year.data_dir)])
    scan = run(["-m", "benchmarks.work", "scan"], settings=year.settings)
    erasing = run(["-m", "benchmarks.work", "erase"], settings=year.settings)
    if erasing.answer["state"] not in ("verified", "backup_purged", "complete"):
        raise BenchmarkError(f"the deletion stands at {erasing.answer['state']}")
    return Result(
        id="P8",
        title="deletion of a tenant, to VERIFIED",
        figure=erasing.seconds,
        unit="s",
        target="deletion at most 60 s, scan at most 5 min at 96 M",
        limit=60,
        cost=erasing,
        messages=emails,
        bounds={"scan of the whole tenant, at the target's size": Bound(scan.seconds * year.scale, 300, "s")},
        peers={
            "reading the same bytes once": Peer(
                reading.seconds,
                scan.cpu_seconds / reading.cpu_seconds,
                None,
                "ratio: the scan's CPU seconds over reading's",
            )
        },
        details={
            "bytes": reading.answer["bytes"],
            "scan_seconds": round(scan.seconds, 2),
            "scan_cpu_seconds": round(scan.cpu_seconds, 2),
            "deletion_cpu_seconds": round(erasing.cpu_seconds, 2),
        },
    )
