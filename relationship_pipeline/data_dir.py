"""Opening a data directory: its settings, folders, modes, `control/first_month` and Dagster's home. Writes no personal
data."""

from __future__ import annotations

import os
from importlib.resources import files
from typing import Any

from relationship_pipeline.domain.months import MONTHS_OF_HISTORY, add_months, month_of, parse_month
from relationship_pipeline.durable import make_folder, put_bytes
from relationship_pipeline.errors import BadInput
from relationship_pipeline.lake.janitor import sweep
from relationship_pipeline.layout import Layout
from relationship_pipeline.settings import Settings, SourceKind, load_settings
from relationship_pipeline.sources.demo import read_demo


def restrict_modes() -> None:
    """First line of every entry point: what we create is ours alone (files 0600, folders 0700)."""
    os.umask(0o077)


def open_settings(**overrides: Any) -> Settings:
    """The settings of this data directory. In a demo directory insights are for the instant the demo tenant lives in."""
    settings = load_settings(**overrides)
    if settings.source is SourceKind.DEMO and settings.as_of is None:
        tenant = read_demo(settings.layout.demo)
        if tenant is not None:
            return settings.model_copy(update={"as_of": tenant.as_of})
    return settings


def prepare(settings: Settings) -> Layout:
    """Make the data directory if it is new, tighten it, write Dagster's home and sweep what killed processes left.
    Raises BadInput when it cannot be used."""
    layout = settings.layout
    try:
        make_folder(layout.root)
        for folder in (layout.root, layout.control, layout.dagster_home, layout.inbox):
            make_folder(folder).chmod(0o700)
        if settings.publish.group:
            layout.root.chmod(0o710)  # which group may pass was set by the last publication
    except OSError as error:
        raise BadInput(
            f"the data directory cannot be created or written: {error.strerror}; check RELATIONSHIP_DATA_DIR"
        ) from None
    if not layout.first_month.exists():
        put_bytes(layout.first_month, f"{_first_month_now(settings)}\n".encode())
    for name in ("dagster.yaml", "workspace.yaml"):
        content = (files("relationship_pipeline.orchestration") / name).read_bytes()
        target = layout.dagster_home / name
        if not target.exists():
            put_bytes(target, content)
    sweep(layout)
    return layout


def first_month(settings: Settings) -> str:
    """The first monthly partition: what `control/first_month` says, else (nothing created yet) what the clock says."""
    try:
        return parse_month(settings.layout.first_month.read_text(encoding="ascii").strip())
    except FileNotFoundError:
        return _first_month_now(settings)
    except ValueError as error:
        raise BadInput(f"control/first_month: {error}") from None


def first_to_collect(settings: Settings, consented: str) -> str:
    """The first month that is both a partition and covered by the consent, which begins with `consented`. Raises BadInput
    when that lies after the running month: the partitions of a directory never move (interfaces.md 2)."""
    first, running = max(consented, first_month(settings)), month_of(settings.now())
    if first > running:
        raise BadInput(
            f"this data directory's months begin with {first} (control/first_month, fixed by the first command in it), after "
            f"the running month {running}: set as_of and first_month before the first command in a new data directory"
        )
    return first


def _first_month_now(settings: Settings) -> str:
    return settings.first_month or add_months(month_of(settings.now()), -MONTHS_OF_HISTORY)
