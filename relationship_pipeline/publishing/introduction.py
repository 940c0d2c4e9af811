"""Drafts of introduction requests (K6): written for a person to read, change and send; this package sends nothing."""

from __future__ import annotations

from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from importlib.resources import files
from string import Template

from relationship_pipeline.errors import BadInput
from relationship_pipeline.publishing.formats import visible
from relationship_pipeline.publishing.who_knows import Answer, Introducer

PLACEHOLDERS = ("colleague_name", "wanted", "reasons", "purpose", "sender_name")
"""What a template may name: `$colleague_name`, …; the first line is the subject, the rest after a blank line the text."""

UNKNOWN_PURPOSE = "[why you would like to meet]"
UNKNOWN_SENDER = "[your name]"


@dataclass(frozen=True)
class Draft:
    """A message that nobody has sent."""

    to: str
    subject: str
    text: str


def default_template() -> str:
    return (files("relationship_pipeline.publishing") / "introduction.txt").read_text(encoding="utf-8")


def draft_introduction(
    answer: Answer,
    *,
    introducer: Introducer | None = None,
    sender_name: str | None = None,
    purpose: str | None = None,
    template: str | None = None,
) -> Draft:
    """A request to make the introduction that was looked up: to a given introducer, else to the one whom the best path
    leads over, else to the strongest who is not the asker.

    Raises BadInput where nobody can introduce or the template names a placeholder that does not exist.
    """
    asked = introducer or _best(answer)
    if asked is None:
        raise BadInput("nobody else here has a tie that is shown, so there is nobody to ask for this introduction")
    values = {
        "colleague_name": asked.colleague_name or asked.colleague_email,
        "wanted": answer.about,
        "reasons": asked.reasons,
        "purpose": purpose or UNKNOWN_PURPOSE,
        "sender_name": sender_name or answer.from_name or UNKNOWN_SENDER,
    }
    try:
        filled = Template(template or default_template()).substitute({k: visible(v) for k, v in values.items()})
    except (KeyError, ValueError):
        names = ", ".join(f"${name}" for name in PLACEHOLDERS)
        raise BadInput(f"the introduction template has a placeholder that does not exist; there are {names}") from None
    subject, _, text = filled.partition("\n")
    return Draft(to=asked.colleague_email, subject=subject.strip(), text=text.strip() + "\n")


def _best(answer: Answer) -> Introducer | None:
    others = {one.colleague_email: one for one in answer.introducers if one.colleague_email != answer.from_colleague}
    on_the_way = (others[path.colleague_email] for path in answer.paths if path.colleague_email in others)
    return next(on_the_way, next(iter(others.values()), None))


def as_text(draft: Draft) -> str:
    return f"To: {draft.to}\nSubject: {draft.subject}\n\n{draft.text}"


def as_eml(draft: Draft) -> bytes:
    """An RFC 5322 message that mail programs open as an unsent draft (`X-Unsent`)."""
    message = EmailMessage(policy=SMTP)
    message["To"] = draft.to
    message["Subject"] = draft.subject
    message["X-Unsent"] = "1"
    message.set_content(draft.text)
    return message.as_bytes()
