"""Typed settings: environment (`RELATIONSHIP_…`, nested with `__`) over `<data dir>/settings.toml` over defaults.

Read once by the entry points and handed on; nothing else reads the environment. Names: interfaces.md 2.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ByteSize,
    ConfigDict,
    Field,
    SecretStr,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from relationship_pipeline.domain.addresses import normalize_domain
from relationship_pipeline.domain.months import parse_month
from relationship_pipeline.errors import BadInput
from relationship_pipeline.layout import Layout

PREFIX = "RELATIONSHIP_"
YEARS = range(1990, 2200)
"""Of `as_of`."""
LEAST_MEMORY = 100_000_000


class SourceKind(StrEnum):
    DEMO = "demo"
    GRAPH = "graph"
    DATA_CONNECT = "data_connect"


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _split(value: Any) -> Any:
    """Lists may be written in the environment as one comma-separated text, or as JSON."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return json.loads(value)
    return [part.strip() for part in value.split(",") if part.strip()]


class GraphSettings(Section):
    """Microsoft Graph. Secrets come from the environment or a file named there; settings.toml may not hold them."""

    tenant_id: str | None = None
    client_id: str | None = None
    client_secret: SecretStr | None = None
    certificate_path: Path | None = None
    certificate_password: SecretStr | None = None
    cloud: str = "global"
    base_url: str | None = None
    authority: str | None = None
    ca_bundle: Path | None = None
    grant_mode: str = Field("entra", pattern="^(entra|exchange_rbac)$")
    sentinel_mailbox: str | None = None
    max_concurrency: int = Field(128, ge=1, le=512)
    page_size: int = Field(1000, ge=10, le=1000)


class DataConnectSettings(Section):
    on_bad_file: str = Field("stop", pattern="^(stop|partial)$")


class OptOutSettings(Section):
    attribute: str | None = Field(None, pattern="^extensionAttribute([1-9]|1[0-5])$")


class ScopeSettings(Section):
    groups: Annotated[list[str], NoDecode] = []
    roles: Annotated[list[str], NoDecode] = []

    _lists = field_validator("groups", "roles", mode="before")(_split)


class MeetingSettings(Section):
    include_private: bool = False


class HealthSettings(Section):
    """Product.md 7. `good_from` and `fair_from` are the lower ends; a neighbour's upper end moves with them."""

    weight_email: int = Field(6, ge=3, le=9)
    weight_meeting: int = Field(6, ge=3, le=9)
    weight_phone_call: int = Field(6, ge=3, le=9)
    cadence_days: int = 7
    good_from: int = Field(60, ge=2, le=100)
    fair_from: int = Field(40, ge=1, le=99)
    max_activity: int = Field(30, ge=0)
    max_recency: int = Field(30, ge=0)
    max_engagement: int = Field(20, ge=0)
    max_responsiveness: int = Field(20, ge=0)
    accounts: bool = False

    @field_validator("cadence_days")
    @classmethod
    def _known_cadence(cls, value: int) -> int:
        if value not in (1, 3, 7, 14, 30):
            raise ValueError("choose 1, 3, 7, 14 or 30 days")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> HealthSettings:
        if self.fair_from >= self.good_from:
            raise ValueError("fair_from must be below good_from")
        if self.max_activity + self.max_recency + self.max_engagement + self.max_responsiveness != 100:
            raise ValueError("the four max_… must sum to 100")
        return self


class PublishSettings(Section):
    """`group`: operating system group that may read a role's file, by role."""

    group: dict[str, str] = {}


class StorageSettings(Section):
    """Where keys and backups lie, when not below the data directory."""

    keys_dir: Path | None = None
    backups_dir: Path | None = None


class Settings(BaseSettings):
    """All settings. Construct with `load_settings`, which turns every mistake into one line."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    data_dir: Path = Path("data")
    source: SourceKind = SourceKind.DEMO
    data_connect_dir: Path | None = None
    crm_dir: Path | None = None
    as_of: datetime | None = None
    batch_cap: int = Field(8_000_000, ge=1)
    first_month: str | None = None
    internal_domains: Annotated[list[str] | None, NoDecode] = None
    free_mail_domains: Annotated[list[str], NoDecode] = []
    memory_limit: str | None = Field(None, pattern=r"(?i)^\d+(\.\d+)?\s*(mb|gb|tb|mib|gib|tib)$")
    threads: int | None = Field(None, ge=1)
    executor: str = Field("in_process", pattern="^(in_process|multiprocess)$")
    graph: GraphSettings = GraphSettings()
    data_connect: DataConnectSettings = DataConnectSettings()
    opt_out: OptOutSettings = OptOutSettings()
    scope: ScopeSettings = ScopeSettings()
    meetings: MeetingSettings = MeetingSettings()
    health: HealthSettings = HealthSettings()
    publish: PublishSettings = PublishSettings()
    storage: StorageSettings = StorageSettings()

    _lists = field_validator("internal_domains", "free_mail_domains", mode="before")(_split)

    @field_validator("internal_domains", "free_mail_domains")
    @classmethod
    def _domains(cls, value: list[str] | None) -> list[str] | None:
        domains = []
        for text in value or ():
            domain = normalize_domain(text)
            if domain is None:
                raise ValueError(f"{text!r} is not a domain; write contoso.com, several with commas between")
            domains.append(domain)
        return None if value is None else domains

    @field_validator("memory_limit")
    @classmethod
    def _enough_memory(cls, value: str | None) -> str | None:
        if value is not None and TypeAdapter(ByteSize).validate_python(value) < LEAST_MEMORY:
            raise ValueError("too little to work in; give at least 100MB")
        return value

    @field_validator("as_of", mode="before")
    @classmethod
    def _no_number(cls, value: Any) -> Any:
        if isinstance(value, str) and value.strip().replace(".", "", 1).isdecimal():
            raise ValueError("write an instant as 2026-11-01T00:00:00Z")
        return value

    @field_validator("as_of")
    @classmethod
    def _instant(cls, value: datetime | None) -> datetime | None:
        if value is None:
            return None
        if value.year not in YEARS:
            raise ValueError(f"the year must be one from {YEARS.start} to {YEARS.stop - 1}")
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC)

    @field_validator("first_month")
    @classmethod
    def _month(cls, value: str | None) -> str | None:
        return value if value is None else parse_month(value)

    @model_validator(mode="after")
    def _sources_outside(self) -> Settings:
        """What lies below the data directory is ours to delete, but for its `inbox/…`: an export anywhere else there would
        keep a deletion from ending (W4)."""
        root = self.layout.root.resolve()
        for key, folder, place in (
            ("data_connect_dir", self.data_connect_dir, self.layout.inbox_data_connect),
            ("crm_dir", self.crm_dir, self.layout.inbox_crm),
        ):
            if folder is None:
                continue
            real = folder.absolute().resolve()
            if real.is_relative_to(root) and not real.is_relative_to(place.resolve()):
                raise ValueError(
                    f"{key} lies inside the data directory; move it to {place.relative_to(self.layout.root)} there (and take the "
                    "setting out) or to a folder outside"
                )
        return self

    @cached_property
    def layout(self) -> Layout:
        """Paths below the data directory, absolute."""
        return Layout(self.data_dir.absolute())

    @property
    def data_connect_folder(self) -> Path:
        return self.data_connect_dir or self.layout.inbox_data_connect

    @property
    def crm_folder(self) -> Path:
        return self.crm_dir or self.layout.inbox_crm

    @property
    def sources_outside(self) -> dict[str, Path]:
        """Folders outside the data directory that are read and never written to, by what they are (interfaces.md 5)."""
        folders = {"CRM folder": self.crm_folder}
        if self.source is SourceKind.DATA_CONNECT:
            folders["export folder"] = self.data_connect_folder
        resolved = {what: folder.absolute().resolve() for what, folder in folders.items()}
        root = self.layout.root.absolute().resolve()
        return {
            f"{what} outside the data directory": folder
            for what, folder in resolved.items()
            if not folder.is_relative_to(root)
        }

    @property
    def keys_folder(self) -> Path:
        return self.storage.keys_dir or self.layout.keys

    @property
    def backups_folder(self) -> Path:
        return self.storage.backups_dir or self.layout.backups

    def now(self) -> datetime:
        """The instant insights are computed for: `as_of` where set, else the clock."""
        return self.as_of or datetime.now(UTC)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _TomlFile(settings_cls)


class _TomlFile(PydanticBaseSettingsSource):
    """`<data dir>/settings.toml`, read whole; the data directory itself can only come from the environment."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        data_dir = self.current_state.get("data_dir") or os.environ.get(f"{PREFIX}DATA_DIR") or "data"
        path = Layout(Path(data_dir)).settings_file
        if Path(data_dir).exists() and not Path(data_dir).is_dir():
            raise BadInput(
                f"the data directory is a file; set {PREFIX}DATA_DIR to a folder, or to one that is to be made"
            )
        try:
            content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        except FileNotFoundError:
            return {}
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
            raise BadInput(f"settings.toml cannot be read: {error}") from error
        graph = content.get("graph")
        for name in ("client_secret", "certificate_password"):
            if isinstance(graph, dict) and name in graph:
                raise BadInput(
                    f"settings.toml may not hold graph.{name}; set {PREFIX}GRAPH__{name.upper()} in the environment"
                )
        if "data_dir" in content:
            raise BadInput(f"settings.toml cannot move its own folder: set {PREFIX}DATA_DIR in the environment")
        return content


def load_settings(**overrides: Any) -> Settings:
    """Read the settings now. Raises BadInput with one line that names the key."""
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    for name in os.environ:
        if name.startswith(PREFIX) and name.split("__")[0] not in known:
            raise BadInput(f"unknown setting {name}; `relationship-pipeline init --print` lists all")
    try:
        return Settings(**overrides)
    except SettingsError as error:
        named = re.search(r'"(\w+)"', str(error))
        raise BadInput(
            f"the environment's value of setting {named[1] if named else '?'} is not of its form; "
            "`relationship-pipeline init --print` shows the forms"
        ) from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise BadInput(f"unknown setting {key}; `relationship-pipeline init --print` lists all") from None
        if first["type"].startswith(("string_pattern", "date")):  # pydantic would show the pattern, or say "too short"
            raise BadInput(
                f"setting {key} is not of its form; `relationship-pipeline init --print` shows the forms"
            ) from None
        about = f"setting {key}: " if key else "setting "
        raise BadInput(f"{about}{first['msg'].removeprefix('Value error, ')}") from None
