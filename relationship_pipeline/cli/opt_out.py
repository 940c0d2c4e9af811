"""opt-out, opt-in, scope: who is left out, by whom and how far (O1-O6)."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from relationship_pipeline import data_dir, operations
from relationship_pipeline.cli.output import iso, json_option, print_json
from relationship_pipeline.cli.work import open_work
from relationship_pipeline.consent.enforcement import ATTRIBUTE, CSV, entries_of_file
from relationship_pipeline.consent.ledger import ControlLedger
from relationship_pipeline.consent.optouts import KEPT_KINDS, OptOuts
from relationship_pipeline.domain.addresses import normalize_address, normalize_domain
from relationship_pipeline.domain.consent import Purpose
from relationship_pipeline.domain.optout import Kind, Mode, OptOut, Scope, default_mode, parse_scopes, scopes_text
from relationship_pipeline.errors import BadInput

kind_argument = click.argument("kind", type=click.Choice([kind.value for kind in Kind]))


def _opt_outs() -> OptOuts:
    settings = data_dir.open_settings()
    record = ControlLedger(settings.layout).require(Purpose.DERIVE)
    return OptOuts(settings.layout, record.epoch)


def _subject(kind: Kind, text: str) -> str:
    """The subject as the ledger holds it. Raises BadInput when it cannot be one."""
    if kind in (Kind.USER, Kind.ADDRESS):
        address = normalize_address(text)
        if address is None or "@" not in address:
            raise BadInput("that is not one address; write it as name@example.com")
        return address
    if kind is Kind.DOMAIN:
        domain = normalize_domain(text)
        if domain is None or "." not in domain:
            raise BadInput("that is not a domain; write it as example.com")
        return domain
    group = text.strip().lower()
    if not group:
        raise BadInput("the group id is empty")
    return group


@click.group("opt-out")
def opt_out() -> None:
    """Leave a person, group, domain or address out."""


def _add_command(kind: Kind, metavar: str) -> click.Command:
    @click.command(kind.value, help=f"Opt {'an' if kind is Kind.ADDRESS else 'a'} {kind.value} out.")
    @click.argument("subject", metavar=metavar)
    @click.option("--scope", help="mailbox, introducer, everywhere; comma-separated.  [default: by kind]")
    @click.option(
        "--mode",
        type=click.Choice([mode.value for mode in Mode]),
        help="Whether collected data goes.  [default: by kind]",
    )
    def command(subject: str, scope: str | None, mode: str | None) -> None:
        try:
            scopes = parse_scopes(scope, kind)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--scope") from None
        entry = OptOut(
            kind=kind,
            subject=_subject(kind, subject),
            scopes=scopes,
            mode=Mode(mode) if mode else default_mode(kind),
            made_at=datetime.now(UTC),
            source="administrator",
        )
        opt_outs = _opt_outs()
        opt_outs.add(entry)
        click.echo(f"{kind.value} opted out: scope {scopes_text(entry.scopes)}, mode {entry.mode.value}")
        if kind is Kind.GROUP and entry.subject not in opt_outs.memberships():
            click.echo("who is a member is read by the next refresh, which applies it: relationship-pipeline refresh")
            return
        work = open_work()
        if kind is Kind.USER and operations.names_nobody(work, entry.subject):
            click.echo("nobody in the directory that was read last has this address; it holds from when somebody does")
        further = operations.further_addresses(work, entry.subject) if Scope.EVERYWHERE in scopes else 0
        if further:
            click.echo(f"and with it {further} more that the CRM lists for the same person")
        erased = operations.apply_opt_outs(work)
        click.echo("what was collected is gone" if erased else "nothing that was collected had to go")

    return command


for _kind, _metavar in ((Kind.USER, "ADDRESS"), (Kind.GROUP, "ID"), (Kind.DOMAIN, "DOMAIN"), (Kind.ADDRESS, "ADDRESS")):
    opt_out.add_command(_add_command(_kind, _metavar))


@opt_out.command("list")
@json_option
def list_(as_json: bool) -> None:
    """The opt-outs in force."""
    opt_outs = _opt_outs()
    entries = [entry for entry in opt_outs.entries() if entry.ended_at is None]
    by_attribute = sum(
        any(interval.end is None for interval in intervals)
        for intervals in opt_outs.memberships().get(ATTRIBUTE, {}).values()
    )
    if by_attribute:
        click.echo(f"by the directory attribute, at its last reading: {by_attribute}", err=as_json)
    kept = len(opt_outs.kept()) - sum(entry.kind in KEPT_KINDS for entry in entries)
    if kept:
        # C5: only their hashes are kept, so they can be told by number and by nothing else
        click.echo(f"in force from an earlier consent, whom they name not being kept: {kept}", err=as_json)
    entries += entries_of_file(opt_outs.layout.inbox_opt_outs)
    if as_json:
        print_json(
            [
                {
                    "kind": entry.kind.value,
                    "subject": entry.subject,
                    "scope": scopes_text(entry.scopes),
                    "mode": entry.mode.value,
                    "made_at": None if entry.source == CSV else iso(entry.made_at),
                    "source": entry.source,
                }
                for entry in entries
            ]
        )
        return
    for entry in entries:
        click.echo(
            f"{entry.kind.value}  {entry.subject}  {scopes_text(entry.scopes)}  {entry.mode.value}  "
            f"{CSV if entry.source == CSV else iso(entry.made_at)}"
        )
    if not entries and not kept and not by_attribute:
        click.echo("nobody is opted out")


@click.command("opt-in")
@kind_argument
@click.argument("subject")
def opt_in(kind: str, subject: str) -> None:
    """Take an opt-out back: collection starts again from now on."""
    others = operations.take_back_opt_out(open_work(), Kind(kind), _subject(Kind(kind), subject))
    if others is None:
        raise BadInput(f"no {kind} opt-out of that name is in force; `relationship-pipeline opt-out list` shows them")
    click.echo(f"{kind} opt-out taken back" if others else f"{kind} opted in again")
    for other in others:
        if other.source == CSV:
            click.echo(f"still left out by a line of {CSV}: remove it there")
            continue
        click.echo(
            f"still left out, scope {scopes_text(other.scopes)}, by an opt-out of the {other.kind.value}; to lift it: "
            f"relationship-pipeline opt-in {other.kind.value} {other.subject}"
        )


@click.group()
def scope() -> None:
    """Restrict collection to members of security groups (O3)."""


@scope.command("list")
def scope_list() -> None:
    """The groups that collection is restricted to."""
    groups = _opt_outs().scope_groups()
    click.echo("\n".join(groups) if groups else "no restriction: every opted-in user is in scope")


@scope.command("add")
@click.argument("group_id", metavar="ID")
def scope_add(group_id: str) -> None:
    """Collect only from members of this group (and of the others named)."""
    _opt_outs().add_scope_group(_subject(Kind.GROUP, group_id))
    click.echo("group added to the scope; the next collection applies it")


@scope.command("remove")
@click.argument("group_id", metavar="ID")
def scope_remove(group_id: str) -> None:
    """Lift the restriction to this group."""
    if not _opt_outs().remove_scope_group(_subject(Kind.GROUP, group_id)):
        raise BadInput("that group is not in the scope; `relationship-pipeline scope list` shows them")
    click.echo("group removed from the scope")


COMMANDS = [opt_out, opt_in, scope]
