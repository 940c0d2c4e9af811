"""What one asset or command does, in plain functions: check consent, take the lock, call the rooms in order.

Knows neither Dagster nor the command line; both call this. Rooms that need Arrow are imported where they are used: Dagster
imports this package each time it loads the code location (performance.md P9).
"""

from relationship_pipeline.operations.collection import (
    collect_emails,
    collect_meetings,
    collect_planned_meetings,
    read_crm,
    read_directory,
    refresh_months,
)
from relationship_pipeline.operations.consent import provide_consent
from relationship_pipeline.operations.deletion import (
    backup_store,
    backups_due,
    check_consent,
    deletion,
    deletion_alert,
    deletions_due,
    has_consent_to_watch,
    is_erased_state,
    make_backup,
    next_consent_after,
    purge_backups,
    run_erasure,
)
from relationship_pipeline.operations.insights import (
    build_contact_graph,
    build_everything,
    build_health,
    build_kpis,
    build_report,
    build_who_knows_whom,
    change_role,
    derive_interactions,
    evaluate_lake,
    publish,
)
from relationship_pipeline.operations.people import (
    apply_opt_outs,
    erase_person,
    erase_requested_person,
    export_person,
    further_addresses,
    names_nobody,
    restore_backup,
    take_back_opt_out,
)
from relationship_pipeline.operations.ties import HiddenTie, hidden_ties, hide_tie, show_tie
from relationship_pipeline.operations.work import Work, watch_progress

__all__ = [
    "HiddenTie",
    "Work",
    "apply_opt_outs",
    "backup_store",
    "backups_due",
    "build_contact_graph",
    "build_everything",
    "build_health",
    "build_kpis",
    "build_report",
    "build_who_knows_whom",
    "change_role",
    "check_consent",
    "collect_emails",
    "collect_meetings",
    "collect_planned_meetings",
    "deletion",
    "deletion_alert",
    "deletions_due",
    "derive_interactions",
    "erase_person",
    "erase_requested_person",
    "evaluate_lake",
    "export_person",
    "further_addresses",
    "has_consent_to_watch",
    "hidden_ties",
    "hide_tie",
    "is_erased_state",
    "make_backup",
    "names_nobody",
    "next_consent_after",
    "provide_consent",
    "publish",
    "purge_backups",
    "read_crm",
    "read_directory",
    "refresh_months",
    "restore_backup",
    "run_erasure",
    "show_tie",
    "take_back_opt_out",
    "watch_progress",
]
