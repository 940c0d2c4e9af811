"""Hiding ties and marking them wrong (K7): the mark first, then tables and databases without the tie, at once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from relationship_pipeline.consent.tie_marks import TieKind, TieMark, TieMarks, TieReason
from relationship_pipeline.domain.addresses import normalize_address, normalize_domain
from relationship_pipeline.domain.consent import Purpose
from relationship_pipeline.errors import BadInput
from relationship_pipeline.layout import EpochLayout
from relationship_pipeline.operations.collection import rules_now
from relationship_pipeline.operations.insights import build_everything
from relationship_pipeline.operations.work import Work, within_epoch

ADMINISTRATOR = "administrator"


@dataclass(frozen=True)
class HiddenTie:
    """A mark for people: colleagues by primary address, or by directory id once they are gone."""

    kind: str
    record: str
    colleague: str
    reason: str
    made_at: datetime
    made_by: str


@within_epoch
def hide_tie(work: Work, record: str, colleague: str, reason: TieReason, *, by: str | None = None) -> None:
    """Hide a colleague's tie to a contact, to a company and all its contacts, or to another colleague, and publish
    without it; one that is hidden already takes the new reason. Raises BadInput where one of them is not known."""
    named = _Named(work)
    kind, subject, user_id = named.tie(record, colleague)
    named.marks.add(
        TieMark(
            kind=kind,
            subject=subject,
            account_id=named.require_known(kind, subject),
            user_id=user_id,
            reason=reason,
            made_at=datetime.now(UTC),
            made_by=ADMINISTRATOR if by is None else named.user_id(by),
        )
    )
    work.report("recorded; publishing without the tie")
    build_everything(work)


@within_epoch
def show_tie(work: Work, record: str, colleague: str) -> bool:
    """Take a mark back and publish with the tie again; whether there was one. Raises BadInput like `hide_tie`."""
    named = _Named(work)
    kind, subject, user_id = named.tie(record, colleague)
    if not named.marks.remove(kind, subject, user_id):
        named.require_known(kind, subject)
        return False
    work.report("taken back; publishing with the tie")
    build_everything(work)
    return True


@within_epoch
def hidden_ties(work: Work) -> list[HiddenTie]:
    """The marks that stand, oldest first."""
    named = _Named(work)
    return [
        HiddenTie(
            kind=mark.kind.value,
            record=named.address(mark.subject),
            colleague=named.address(mark.user_id),
            reason=mark.reason.value,
            made_at=mark.made_at,
            made_by=named.address(mark.made_by),
        )
        for mark in named.marks.entries()
    ]


class _Named:
    """Who is meant by what a person typed, under the rules of the moment. Raises BadInput before anything was read."""

    def __init__(self, work: Work) -> None:
        from relationship_pipeline.lake.directory import load_directory

        epoch = work.ledger.require(Purpose.DERIVE).epoch
        self.settings = work.settings
        self.tree: EpochLayout = work.settings.layout.epoch(epoch)
        self.marks = TieMarks(work.settings.layout, epoch)
        directory = load_directory(self.tree)
        if directory is None:
            raise BadInput("nothing was collected yet: run `relationship-pipeline backfill`")
        people = [row for row in rules_now(work.settings, epoch, directory).people.to_pylist() if not row["hidden"]]
        self.user_ids = {row["address"]: row["user_id"] for row in people}
        self.addresses = {row["user_id"]: row["primary_address"] or row["address"] for row in people}

    def address(self, user_id: str) -> str:
        return self.addresses.get(user_id, user_id)

    def user_id(self, colleague: str) -> str:
        """A colleague by any of their addresses, or by the directory id that `tie list` shows for one who is gone."""
        known = self.user_ids.get(normalize_address(colleague) or "")
        if known is not None:
            return known
        if colleague in {mark.user_id for mark in self.marks.entries()}:
            return colleague
        raise BadInput(
            "that colleague is not known here: give an address of a user of the directory who is not opted out"
        )

    def tie(self, record: str, colleague: str) -> tuple[TieKind, str, str]:
        """What stands at the other end, its subject, and the colleague's directory id."""
        user_id = self.user_id(colleague)
        if "@" not in record:
            domain = normalize_domain(record)
            if domain is None or "." not in domain:
                raise BadInput("that is neither an address nor a domain; give one of them, such as example.com")
            return TieKind.COMPANY, domain, user_id
        address = normalize_address(record)
        if address is None:
            raise BadInput("that is not one address; write it as name@example.com, or give a company's domain")
        other = self.user_ids.get(address)
        if other == user_id:
            raise BadInput("a tie has two ends: these are addresses of one colleague")
        if other is not None:
            return TieKind.COLLEAGUE, min(other, user_id), max(other, user_id)
        return TieKind.CONTACT, address, user_id

    def require_known(self, kind: TieKind, subject: str) -> str | None:
        """The account that a company's domain stands for now. Raises BadInput for a contact or company without contact."""
        from relationship_pipeline.insights.accounts import free_mail_domains
        from relationship_pipeline.insights.known_records import account_of_domain, is_contact

        if kind is TieKind.CONTACT and not is_contact(self.tree, subject):
            raise BadInput("no contact of that address is known: nobody was in touch with it in the last 12 months")
        if kind is not TieKind.COMPANY:
            return None
        free_mail = free_mail_domains(self.settings.free_mail_domains)
        account = None if subject in free_mail else account_of_domain(self.tree, subject)
        if account is None:
            raise BadInput("no company of that domain is known (free-mail domains are no company)")
        return account
