"""README and docs/ say what is so: commands, settings, tables and paths are compared with the code."""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

import click
import duckdb
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import BaseModel

from relationship_pipeline import schemas
from relationship_pipeline.cli import cli
from relationship_pipeline.insights.build import build_kpis
from relationship_pipeline.lake.manifest import Manifest, read_manifest
from relationship_pipeline.publishing.roles import GRANTS
from relationship_pipeline.settings import PREFIX, Settings
from relationship_pipeline_tests import write_docs
from relationship_pipeline_tests.conftest import REPOSITORY, SHARED_DATA
from relationship_pipeline_tests.end_to_end.small_company import write_company
from relationship_pipeline_tests.insights.pipeline import EPOCH, collect

PAGES = {path.relative_to(REPOSITORY).as_posix(): path.read_text(encoding="utf-8") for path in [
    REPOSITORY / "README.md", REPOSITORY / "data" / "README.md", *sorted((REPOSITORY / "docs").glob("*.md")),
]}  # fmt: skip
DICTIONARY = PAGES["docs/data_dictionary.md"]
TEMPLATE = resources.files("relationship_pipeline").joinpath("settings_template.toml").read_text(encoding="utf-8")

INTERFACE = """
demo --users --months --seed
init
dev --port
backfill --from --to
refresh
consent status --json
consent provide --admin --level --opt-out-group
consent withdraw --admin --epoch --yes --dry-run
opt-out user --scope --mode
opt-out group --scope --mode
opt-out domain --scope --mode
opt-out address --scope --mode
opt-out list
opt-in
erase run
erase status --json --check
erase verify
erase certificate --verify
erase person --scope
backups restore
export graph
export person
scope list
scope add
scope remove
role list
role grant
role revoke
who-knows --role --from --draft-introduction
query --role --format
evaluate --messages --internal-domain --cuts --pairs --json
doctor --json
simulate-tenant --port --users --messages-per-month --seed --scenario
"""

RULES = [
    *(f"C{number}" for number in range(1, 8)),
    *(f"B{number}" for number in range(1, 11)),
    *(f"O{number}" for number in range(1, 7)),
    *(f"W{number}" for number in range(1, 8)),
    *(f"V{number}" for number in range(1, 6)),
]

NOT_COVERED = {
    "B10": "CRM activities without Exchange: not built (docs/architecture.md)",
}
"""Rules that no test names, with the reason. A rule that gets a test leaves this list, or the suite fails."""


FENCE = re.compile(r"^```[^\n]*\n(.*?)^```", re.DOTALL | re.MULTILINE)
SHELL = re.compile(r"&&|\|\||\||;|\s#|\s/ ")


def lines_of_code(page: str) -> list[str]:
    """Lines of a page's fenced code, continuations joined."""
    return [line for block in FENCE.findall(page) for line in block.replace("\\\n", " ").splitlines()]


def inline_code(page: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", FENCE.sub("", page))


def commands(page: str) -> Iterator[list[str]]:
    """Arguments of each `relationship-pipeline …` of a page, and of inline code that begins with a command's name."""
    inline = inline_code(page)
    for part in (part for code in [*lines_of_code(page), *inline] for part in SHELL.split(code)):
        program = re.search(r"(?:^|\s|/bin/)relationship-pipeline\s(.*)", part)
        if program:
            yield shlex.split(program[1])
    for part in (part.split() for code in inline for part in SHELL.split(code)):
        if len(part) > 1 and part[0] in cli.commands and "=" not in part[1]:
            yield part


def unknown_in(words: list[str]) -> str | None:
    """What of a command line does not exist, None when all does."""
    command: click.Command = cli
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name = words.pop(0)
        if name not in command.commands:
            return name
        command = command.commands[name]
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    wanted = {word.partition("=")[0] for word in words if word.startswith("--")} - {"--help", "--version"}
    return ", ".join(sorted(wanted - known)) or None


@pytest.mark.parametrize("line", INTERFACE.split("\n")[1:-1])
def test_every_command_of_the_interface_exists_with_its_options(line: str) -> None:
    assert unknown_in(line.split()) is None


@pytest.mark.parametrize("page", PAGES)
def test_every_command_that_a_page_names_exists_with_its_options(page: str) -> None:
    wrong = {" ".join(words): unknown for words in commands(PAGES[page]) if (unknown := unknown_in(list(words)))}
    assert wrong == {}


def test_pages_do_name_commands() -> None:
    assert len(list(commands(PAGES["README.md"]))) >= 15


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    folder = (REPOSITORY / page).parent
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", PAGES[page])
    missing = [target for target in targets if "://" not in target and not (folder / target).exists()]
    named = [name for name in re.findall(r"`?\b(docs/\w+\.md)\b", PAGES[page]) if not (REPOSITORY / name).exists()]
    assert (missing, named) == ([], [])


def test_generated_parts_of_the_dictionary_are_as_the_code_says() -> None:
    assert set(write_docs.PARTS) == {part["name"] for part in write_docs.PART.finditer(DICTIONARY)}
    assert write_docs.regenerated(DICTIONARY) == DICTIONARY, (
        "write it anew: python -m relationship_pipeline_tests.write_docs"
    )


def section(name: str) -> str:
    """The text of the dictionary below the heading that names a table."""
    found = re.search(rf"^### `{name}`\n(.*?)(?=^##|\Z)", DICTIONARY, re.DOTALL | re.MULTILINE)
    assert found, f"docs/data_dictionary.md has no section `{name}`"
    return found[1]


def rows(text: str) -> list[list[str]]:
    """Cells of the table rows that begin with a name."""
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


@pytest.mark.parametrize(
    ("table", "schema"),
    [
        ("email", schemas.EMAIL),
        ("meetings", schemas.MEETINGS),
        ("users", schemas.USERS),
        ("addresses", schemas.USER_ADDRESSES),
        ("group_members", schemas.GROUP_MEMBERS),
        ("domains", schemas.DOMAINS),
    ],
)
def test_columns_of_a_lake_table_are_documented_with_their_types(table: str, schema: pa.Schema) -> None:
    documented = [(cells[0].strip("`"), cells[1]) for cells in rows(section(table))]
    assert documented == [(field.name, write_docs.sql_name(field.type)) for field in schema]


def test_columns_of_crm_rows_are_documented() -> None:
    documented = {cells[0].strip("`"): re.findall(r"`(\w+)`", cells[1]) for cells in rows(section("crm_records"))}
    assert documented == {kind: schema.names for kind, schema in schemas.CRM.items()}


def test_files_of_a_collected_month_hold_the_columns_that_are_documented(tmp_path: Path) -> None:
    write_company(tmp_path)
    as_of = datetime(2026, 2, 1, tzinfo=UTC)
    options = {"internal_domains": ["contoso.com"], "as_of": as_of}
    context = collect(tmp_path / "data", tmp_path / "export", ["2026-01"], **options)
    build_kpis(context, as_of)
    tree = context.layout
    assert tree.epoch == EPOCH
    folder = tree.month("interactions", "2026-01")
    manifest = read_manifest(folder)
    assert manifest is not None
    stored = {file.table: pq.read_schema(folder / file.name).names for file in manifest.files}
    documented = {cells[0].strip("`"): re.findall(r"`(\w+)`", cells[2]) for cells in rows(section("interactions"))}
    assert documented == stored
    email, meetings = (read_manifest(tree.month(table, "2026-01")) for table in ("email", "meetings"))
    assert email is not None and meetings is not None
    manifests = DICTIONARY.partition("### Manifests")[2].partition("\n## ")[0]
    fields = {field.name for field in msgspec.structs.fields(Manifest)}
    unnamed = [name for name in (*fields, *email.quality, *meetings.quality) if f"`{name}`" not in manifests]
    assert unnamed == []


def test_every_sqlite_table_is_documented() -> None:
    sources = "".join(path.read_text() for path in (REPOSITORY / "relationship_pipeline").rglob("*.py"))
    created = set(re.findall(r"create table if not exists (\w+)", sources))
    documented = {cells[0].strip("`") for cells in rows(DICTIONARY.partition("## Ledgers")[2].partition("\n## ")[0])}
    assert documented == created


@pytest.fixture(scope="module")
def empty_tables() -> Iterator[duckdb.DuckDBPyConnection]:
    """A database with every published table and no row."""
    with duckdb.connect() as connection:
        for name, table in schemas.PUBLISHED.items():
            connection.register(f"{name}_rows", table.schema.empty_table())
            connection.table(f"{name}_rows").create(name)
        yield connection


@pytest.mark.parametrize("page", PAGES)
def test_published_columns_and_queries_that_a_page_shows_are_real(
    page: str, empty_tables: duckdb.DuckDBPyConnection
) -> None:
    text = PAGES[page]
    named = re.findall(r"`([a-z_]+)\.([a-z_]+)`", text)
    wrong = [
        (table, column)
        for table, column in named
        if table in schemas.PUBLISHED and column not in schemas.PUBLISHED[table].schema.names
    ]
    assert wrong == []
    for query in re.findall(r'"((?:select|from)\s[^"]+)"', "\n".join([*lines_of_code(text), *inline_code(text)])):
        empty_tables.execute(query)


def test_every_published_table_has_a_grant_that_the_dictionary_explains() -> None:
    assert {table.grant for table in schemas.PUBLISHED.values()} == set(GRANTS)
    assert all(f"`{grant}`" in DICTIONARY for grant in GRANTS)


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Dotted names of all settings."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from keys(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name


def filled_in_template() -> dict[str, object]:
    return tomllib.loads(re.sub(r"(?m)^# (?=[a-z_.]+ = )", "", TEMPLATE))


def test_the_settings_template_loads_when_every_line_is_taken_in() -> None:
    Settings.model_validate(filled_in_template())


def test_every_setting_stands_in_the_template() -> None:
    shown = filled_in_template()
    flat = {f"{name}.{key}" for name, section in shown.items() if isinstance(section, dict) for key in section}
    flat |= {name for name, value in shown.items() if not isinstance(value, dict)}
    by_environment = {key for key in keys(Settings) if f"{PREFIX}{key.upper().replace('.', '__')}" in TEMPLATE}
    assert set(keys(Settings)) - flat == by_environment


def test_every_default_number_and_switch_is_what_the_template_shows() -> None:
    wrong = {}
    for name, shown in filled_in_template().items():
        default = Settings.model_fields[name].default
        for key, value in shown.items() if isinstance(shown, dict) else [(None, shown)]:
            known = default if key is None else getattr(default, key)
            if isinstance(known, int) and value != known:
                wrong[name, key] = (value, known)
    assert wrong == {}


@pytest.mark.parametrize("page", PAGES)
def test_every_setting_that_a_page_names_exists(page: str) -> None:
    known = {PREFIX + key.upper().replace(".", "__") for key in keys(Settings)}
    named = set(re.findall(rf"\b{PREFIX}[A-Z][A-Z_]*[A-Z]", PAGES[page]))
    assert named <= known
    sections = re.findall(r"`\[(\w+)\] (\w+)", PAGES[page])
    assert {f"{name}.{key}" for name, key in sections} <= set(keys(Settings))


def tracked_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [path for name in listed.stdout.split("\0") if name and (path := REPOSITORY / name).is_file()]


@pytest.mark.parametrize(
    "pattern",
    [
        pytest.param(r"(?<![\w.])/(?:work|root|home/\w+)/", id="path of some machine"),
        pytest.param(r"(?m)^\s*(?:--(?:extra-)?index[-]url|--find[-]links|-i )", id="package index"),
        pytest.param(r"https?://[^\s/]*(?:pypi|pythonhosted|artifactory|nexus)", id="host of a package index"),
        pytest.param(r"(?i)\b(?!someone@)[\w.+'-]+@enron\.com", id="person of the real export"),
    ],
)
def test_no_tracked_file_names_this_machine_or_a_real_person(pattern: str) -> None:
    found = {}
    for path in tracked_files():
        hits = set(re.findall(pattern, path.read_text(encoding="utf-8", errors="replace")))
        if hits:
            found[path.relative_to(REPOSITORY).as_posix()] = hits
    assert found == {}


def test_no_tracked_file_names_a_mailbox_owner_of_the_real_export() -> None:
    users = SHARED_DATA / "enron_export"
    if not users.is_dir():
        pytest.skip("real data is not beside this checkout")
    names = real_names(users)
    assert len(names) > 20
    shape = re.compile("|".join(re.escape(name) for name in sorted(names)), re.IGNORECASE)
    files = {path.name for path in tracked_files() if shape.search(path.read_text(encoding="utf-8", errors="replace"))}
    assert files == set()


def real_names(export: Path) -> set[str]:
    """Display names (of two words) and address local parts (with a dot) of the export's users."""
    found = duckdb.sql("select * from read_json_auto($path, union_by_name = true)", params={
        "path": [str(path) for path in export.rglob("*") if path.is_file() and "User_v1" in path.as_posix()],
    }).fetchall()  # fmt: skip
    texts = {value for row in found for value in row if isinstance(value, str)}
    locals_ = {text.partition("@")[0] for text in texts if "@" in text}
    return {text for text in texts if re.fullmatch(r"[A-Z]\w+ [A-Z]\w+", text)} | {
        text for text in locals_ if re.fullmatch(r"\w{2,}\.\w{2,}", text)
    }


def test_every_rule_has_a_test_or_a_reason() -> None:
    """Rules C, B, O, W and V by id, in the names and docstrings of tests."""
    told = "\n".join(
        path.name + "\n" + path.read_text(encoding="utf-8")
        for path in (REPOSITORY / "relationship_pipeline_tests").rglob("test_*.py")
        if path != Path(__file__)
    )
    names = re.findall(r"def (test_\w+)|\"\"\"(.*?)\"\"\"", told, re.DOTALL)
    words = {word.upper() for pair in names for word in re.findall(r"[A-Za-z]\d+", re.sub("_", " ", " ".join(pair)))}
    missing = [rule for rule in RULES if rule not in words]
    assert missing == list(NOT_COVERED)
    tests = " ".join(re.findall(r"def (test_\w+)", told)).replace("_", " ")
    in_names = {word.upper() for word in re.findall(r"\b[A-Za-z]\d+\b", tests)}
    unnamed = [rule for rule in RULES if rule[0] in "COWV" and rule not in in_names]
    assert unnamed == [], "what consent, opt-out, deletion and visibility promise has a test that carries the id"
