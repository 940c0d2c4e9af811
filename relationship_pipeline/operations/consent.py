"""Giving consent: the role is checked where the directory can tell, and the opt-out groups are part of it (C1, C5)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from relationship_pipeline.consent.ledger import ControlLedger
from relationship_pipeline.consent.optouts import OptOuts
from relationship_pipeline.domain.consent import ConsentLevel, ConsentRecord
from relationship_pipeline.domain.optout import Kind, OptOut, default_mode, default_scopes
from relationship_pipeline.errors import Refused
from relationship_pipeline.settings import Settings, SourceKind

ROLE = "Global Administrator"


def provide_consent(
    settings: Settings, admin: str, level: ConsentLevel, opt_out_groups: Sequence[str]
) -> tuple[ConsentRecord, bool]:
    """Record a consent, or change level and groups of the live one; returns it and whether a new epoch began.

    In Graph mode a directory that can tell must know `admin` as a Global Administrator: raises Refused otherwise. Without
    that grant, and in file mode, the name is recorded as stated, `unverified` (C1).
    """
    verified = _is_administrator(settings, admin)
    if verified is False:
        raise Refused(
            f"consent needs a {ROLE}, and the directory does not know this person as one; somebody else must consent, "
            "or activate the role first"
        )
    now = datetime.now(UTC)
    record, is_new = ControlLedger(settings.layout).provide(
        admin,
        now=now,
        level=level,
        admin_role=ROLE if verified else "as stated",
        verified=bool(verified),
        history_until=settings.as_of,
    )
    opt_outs = OptOuts(settings.layout, record.epoch)
    for group in opt_out_groups:
        opt_outs.add(
            OptOut(
                kind=Kind.GROUP,
                subject=group.strip().lower(),
                scopes=default_scopes(Kind.GROUP),
                mode=default_mode(Kind.GROUP),
                made_at=now,
                source="consent",
            )
        )
    return record, is_new


def _is_administrator(settings: Settings, admin: str) -> bool | None:
    """None where nobody can tell."""
    if settings.source is SourceKind.DATA_CONNECT or settings.graph.client_id is None:
        return None
    from relationship_pipeline.sources.graph.access import GraphAccess

    return GraphAccess(settings.graph).is_global_admin(admin)
