"""Where published tables differ from the recount, value by value."""

import math

KEYS = {
    "batches": ("month",),
    "contact_kpis": ("contact_email",),
    "account_kpis": ("account_id",),
    "opportunity_kpis": ("opportunity_id",),
    "lead_kpis": ("lead_id",),
    "most_contacted": ("record_type", "record_id", "side", "rank"),
    "daily_activity": ("record_type", "record_id", "day"),
    "planned_meetings": ("contact_email", "start_at", "end_at", "direction", "colleagues", "is_all_day"),
    "who_knows_whom": ("contact_email", "rank"),
    "who_knows_company": ("account_id", "rank"),
    "strength_components": ("contact_email", "colleague_email", "component"),
    "graph_nodes": ("node_id",),
    "graph_edges": ("source", "target"),
    "health_components": ("record_type", "record_id", "component"),
    "health_history": ("record_type", "record_id", "month"),
    "alerts": ("record_type", "record_id", "kind"),
}
"""The columns that name a row of each table."""


def differences(table, recounted, published, *, ignore=()):
    """What differs between two lists of dicts, as lines `<key> <column>: recount … published …`; none if equal.

    Only columns that the recount has are compared (it has no run times), those in `ignore` left out; numbers with a
    fraction to nine digits.
    """
    expected, actual = _by_key(table, recounted), _by_key(table, published)
    lines = [f"{key}: not in the recount" for key in sorted(actual.keys() - expected.keys(), key=str)]
    missing = expected.keys() - actual.keys()
    lines += [f"{key}: not published" for key in sorted(missing, key=str)]
    for key in sorted(expected.keys() & actual.keys(), key=str):
        for column, value in expected[key].items():
            if column in ignore:
                continue
            if column not in actual[key]:
                lines.append(f"{key} {column}: no such column")
            elif not _same(value, actual[key][column]):
                lines.append(f"{key} {column}: recount {value!r} published {actual[key][column]!r}")
    return lines


def _by_key(table, rows):
    return {tuple(row[column] for column in KEYS[table]): row for row in rows}


def _same(one, other):
    if isinstance(one, float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)
    return one == other
