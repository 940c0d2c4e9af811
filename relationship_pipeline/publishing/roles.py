"""Roles and what they may see (V1, V2): grants in the control ledger, tables by grant.

Default deny: a role sees a table only by a grant that names it, and an unknown role sees nothing.

What a role's database file holds follows from here; who may open the file is the operating system's matter.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from relationship_pipeline.consent.ledger import ControlLedger
from relationship_pipeline.errors import BadInput, Refused
from relationship_pipeline.schemas import KPIS, PUBLISHED, WHO_KNOWS_WHOM

GRANTS = (KPIS, WHO_KNOWS_WHOM)
DEFAULT_ROLE = "salesperson"

_ROLE_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


@dataclass(frozen=True)
class Role:
    """A role and its grants, in the order of GRANTS."""

    name: str
    grants: tuple[str, ...]

    @property
    def tables(self) -> tuple[str, ...]:
        """The published tables that the role may read, in the order of `schemas.PUBLISHED`."""
        return tuple(name for name, table in PUBLISHED.items() if table.grant in self.grants)


def list_roles(ledger: ControlLedger) -> list[Role]:
    """Every role by name, those without any grant included."""
    with ledger.connect() as connection:
        names = [name for (name,) in connection.execute("select role from role order by role")]
        given = set(connection.execute("select role, privilege from role_grant"))
    return [Role(name, tuple(grant for grant in GRANTS if (name, grant) in given)) for name in names]


def grant(ledger: ControlLedger, role: str, privilege: str) -> Role:
    """Give a role a grant; an unknown one begins to exist. Raises BadInput for an impossible name or grant."""
    _check_name(role)
    _check_grant(privilege)
    with ledger.connect() as connection:
        connection.execute("insert or ignore into role values (?)", (role,))
        connection.execute("insert or ignore into role_grant values (?, ?)", (role, privilege))
    return require_role(ledger, role)


def revoke(ledger: ControlLedger, role: str, privilege: str) -> Role:
    """Take a grant from a role; taking one that it has not changes nothing. Raises Refused for an unknown role.

    The published database still holds the tables until `publish.unpublish` and `publish` have run.
    """
    _check_grant(privilege)
    require_role(ledger, role)
    with ledger.connect() as connection:
        connection.execute("delete from role_grant where role = ? and privilege = ?", (role, privilege))
    return require_role(ledger, role)


def require_role(ledger: ControlLedger, role: str, *privileges: str) -> Role:
    """The role, if it exists and has these grants. Raises Refused naming the role and the administrator's command."""
    found = next((known for known in list_roles(ledger) if known.name == role), None)
    if found is None:
        _check_name(role)
        raise Refused(f"there is no role {role}; an administrator can run {_command(role, (privileges or GRANTS)[0])}")
    for privilege in privileges:
        if privilege not in found.grants:
            raise Refused(f"role {role} has no grant {privilege}; an administrator can run {_command(role, privilege)}")
    return found


def require_any_grant(ledger: ControlLedger, role: str) -> Role:
    """The role, if it may see anything at all. Raises Refused like `require_role`."""
    found = require_role(ledger, role)
    return found if found.grants else require_role(ledger, role, KPIS)


def _command(role: str, privilege: str) -> str:
    return f"`relationship-pipeline role grant {role} {privilege}`"


def _check_name(role: str) -> None:
    if not _ROLE_NAME.fullmatch(role):
        raise BadInput("a role's name is a lower-case letter, then letters, digits or _, for example sales_operations")


def _check_grant(privilege: str) -> None:
    if privilege not in GRANTS:
        raise BadInput(f"a grant is one of {', '.join(GRANTS)}")
