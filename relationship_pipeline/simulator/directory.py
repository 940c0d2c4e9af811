"""Users, groups, the app's own grants, roles, licences and domains: what Entra answers behind Graph."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from relationship_pipeline.simulator import query, shapes
from relationship_pipeline.simulator.answers import Answer, Call, data, error
from relationship_pipeline.simulator.hashing import guid
from relationship_pipeline.simulator.people import GLOBAL_ADMINISTRATOR, Group, User
from relationship_pipeline.simulator.query import BadQuery
from relationship_pipeline.simulator.tenant import Tenant
from relationship_pipeline.simulator.times import iso
from relationship_pipeline.simulator.tokens import ROLE_IDS, Identity

_PAGE_CAP = 999
_USER_KNOWN = frozenset(shapes.USER_FIELDS)
_USER_EQUALS = frozenset({"id", "userPrincipalName", "mail", "accountEnabled", "userType", "department", "displayName"})
_IN_PARENTHESES = re.compile(r"^(\w+)\(\w+='([^']*)'\)$")
_CAST = "microsoft.graph.user"


class Directory:
    """Answers directory requests; roles have been checked."""

    def __init__(self, tenant: Tenant, identity: Identity, grants_lag: Callable[[], float]) -> None:
        self.tenant = tenant
        self.identity = identity
        self.extensions: dict[int, dict[str, str]] = {}
        self._grants_time = grants_lag

    def units(self, call: Call) -> int:
        """Resource units of a request (graph.md 3.1): a base cost, less one for $select and for small pages."""
        base = {"users": 2, "groups": 3, "servicePrincipals": 2, "roles": 2, "organization": 1}.get(call.endpoint, 1)
        if "transitiveMembers" in call.segments:
            base = 5
        elif "subscribedSkus" in call.segments:
            base = 3
        top = call.options.get("$top")
        less = bool(call.options.get("$select")) + (top.isdigit() and int(top) < 20)
        return max(1, base - less + bool(call.options.get("$expand")))

    def answer(self, call: Call) -> Answer:
        """Route a directory request. Raises BadQuery."""
        head, rest = call.segments[0], call.segments[1:]
        match = _IN_PARENTHESES.match(head)
        if match:
            head, rest = match[1], (match[2], *rest)
        handlers: dict[str, Callable[[Call, tuple[str, ...]], Answer]] = {
            "users": self._users,
            "groups": self._groups,
            "servicePrincipals": self._service_principals,
            "oauth2PermissionGrants": lambda c, r: self._collection(c, "oauth2PermissionGrants", []),
            "directoryRoles": self._directory_roles,
            "roleManagement": self._role_assignments,
            "subscribedSkus": lambda c, r: self._collection(c, "subscribedSkus", self._skus()),
            "organization": lambda c, r: self._collection(c, "organization", [self._organization()]),
            "domains": lambda c, r: self._collection(c, "domains", self._domains()),
            "admin": self._item_insights,
        }
        handler = handlers.get(head)
        if handler is None:
            return error(
                400, "BadRequest", f"Resource not found for the segment '{head}'; the simulator does not have it."
            )
        return handler(call, rest)

    # --- users ----------------------------------------------------------------------------------------------------

    def _user_row(self, person: User) -> dict[str, Any]:
        return shapes.user(person, self.tenant.now, self.extensions.get(person.index))

    def _users(self, call: Call, rest: tuple[str, ...]) -> Answer:
        select = call.options.select(_USER_KNOWN, shapes.DEFAULT_USER_FIELDS, "User")
        people = self.tenant.people
        if rest == ("$count",):
            if not call.eventual:
                return _unsupported()
            return Answer(200, str(len(people.users)).encode(), content_type="text/plain")
        if rest:
            person = people.by_key.get(rest[0]) or people.by_key.get(rest[0].lower())
            if person is None:
                return missing(rest[0])
            row = self._user_row(person)
            return data({"@odata.context": f"{call.base}/v1.0/$metadata#users/$entity", **_picked(row, select)})
        clauses = query.parse_equality_filter(call.options.get("$filter"), _USER_EQUALS)
        if any(operator == "ne" for _, operator, _ in clauses) and not (call.eventual and call.options.flag("$count")):
            return _unsupported()
        if call.options.flag("$count") and not call.eventual:
            return _unsupported()
        if clauses:
            rows = [self._user_row(person) for person in people.users]
            rows = [row for row in rows if all(_matches(row, *clause) for clause in clauses)]
            return self._page(call, "users", len(rows), lambda n: _picked(rows[n], select))
        return self._page(call, "users", len(people.users), lambda n: _picked(self._user_row(people.users[n]), select))

    # --- groups ---------------------------------------------------------------------------------------------------

    def _groups(self, call: Call, rest: tuple[str, ...]) -> Answer:
        groups = self.tenant.people.groups
        if not rest:
            clauses = query.parse_equality_filter(call.options.get("$filter"), frozenset({"displayName", "mail", "id"}))
            rows = [shapes.group(found, self.tenant.people) for found in groups.values()]
            rows = [row for row in rows if all(_matches(row, *clause) for clause in clauses)]
            select = call.options.select(frozenset(shapes.GROUP_FIELDS), shapes.GROUP_FIELDS, "Group")
            return self._page(call, "groups", len(rows), lambda n: _picked(rows[n], select))
        rule = call.fault
        if rule and rule.kind == "F18" and rule.variant != "null_members":
            if rule.variant == "forbidden":
                return error(
                    403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.", {}
                )
            return missing(rest[0])
        group = groups.get(rest[0])
        if group is None:
            return missing(rest[0])
        if len(rest) == 1:
            select = call.options.select(frozenset(shapes.GROUP_FIELDS), shapes.GROUP_FIELDS, "Group")
            row = shapes.group(group, self.tenant.people)
            return data({"@odata.context": f"{call.base}/v1.0/$metadata#groups/$entity", **_picked(row, select)})
        return self._members(call, group, rest[1:])

    def _members(self, call: Call, group: Group, rest: tuple[str, ...]) -> Answer:
        if rest[0] not in ("members", "transitiveMembers") or rest[1:] not in ((), (_CAST,)):
            return _not_simulated()
        cast = rest[1:] == (_CAST,)
        if (cast or call.options.flag("$count")) and not (call.eventual and call.options.flag("$count")):
            return _unsupported()
        people = self.tenant.people
        transitive = rest[0] == "transitiveMembers"
        found: list[User | Group] = [
            people.users[index]
            for index in (people.transitive_users(group.group_id) if transitive else sorted(group.users))
        ]
        if not cast:
            found += [people.groups[g] for g in self._nested(group, transitive)]
        select = call.options.select(_USER_KNOWN, shapes.DEFAULT_USER_FIELDS, "User")
        hidden = group.hidden_fields or (call.fault is not None and call.fault.kind == "F18")

        def row(position: int) -> dict[str, Any]:
            member = found[position]
            if isinstance(member, Group):
                whole, kind = shapes.group(member, people), "#microsoft.graph.group"
            else:
                whole, kind = self._user_row(member), "#microsoft.graph.user"
            picked = _picked(whole, select)
            if hidden:
                picked = {name: value if name == "id" else None for name, value in picked.items()}
            return picked if cast else {"@odata.type": kind, **picked}

        return self._page(call, "users" if cast else "directoryObjects", len(found), row)

    def _nested(self, group: Group, transitive: bool) -> list[str]:
        found, waiting = set(), set(group.groups)
        while waiting:
            current = waiting.pop()
            if current not in found:
                found.add(current)
                waiting |= self.tenant.people.groups[current].groups if transitive else set()
        return sorted(found)

    # --- the app's own grants -------------------------------------------------------------------------------------

    def _service_principals(self, call: Call, rest: tuple[str, ...]) -> Answer:
        identity, scenario = self.identity, self.tenant.scenario
        state = identity.registration
        if not rest or rest[0] not in (scenario.client_id, identity.principal_id) or state.app_deleted:
            return missing(rest[0] if rest else "")
        if len(rest) == 1:
            row = {"id": identity.principal_id, "appId": scenario.client_id, "displayName": "Relationship pipeline",
                   "accountEnabled": state.app_enabled, "servicePrincipalType": "Application"}  # fmt: skip
            select = call.options.select(frozenset(row), tuple(row), "ServicePrincipal")
            return data(
                {"@odata.context": f"{call.base}/v1.0/$metadata#servicePrincipals/$entity", **_picked(row, select)}
            )
        if rest[1:] != ("appRoleAssignments",):
            return _not_simulated()
        rows = [
            {
                "id": guid("assignment", role),
                "deletedDateTime": None,
                "appRoleId": ROLE_IDS.get(role, guid("role", role)),
                "createdDateTime": iso(scenario.window[0]),
                "principalDisplayName": "Relationship pipeline",
                "principalId": identity.principal_id,
                "principalType": "ServicePrincipal",
                "resourceDisplayName": "Microsoft Graph",
                "resourceId": identity.graph_principal_id,
            }
            for role in state.roles(self._grants_time())
        ]
        return self._page(call, "appRoleAssignments", len(rows), lambda n: rows[n])

    # --- roles, licences, domains ---------------------------------------------------------------------------------

    def _directory_roles(self, call: Call, rest: tuple[str, ...]) -> Answer:
        if rest != (GLOBAL_ADMINISTRATOR, "members"):
            return missing(rest[0] if rest else "")
        select = call.options.select(_USER_KNOWN, shapes.DEFAULT_USER_FIELDS, "User")
        row = {
            "@odata.type": "#microsoft.graph.user",
            **_picked(self._user_row(self.tenant.people.administrator), select),
        }
        return self._collection(call, "directoryObjects", [row])

    def _role_assignments(self, call: Call, rest: tuple[str, ...]) -> Answer:
        if rest != ("directory", "roleAssignments"):
            return _not_simulated()
        clauses = query.parse_equality_filter(
            call.options.get("$filter"), frozenset({"roleDefinitionId", "principalId"})
        )
        administrator = self.tenant.people.administrator
        row = {"id": guid("role assignment", administrator.oid), "principalId": administrator.oid,
               "directoryScopeId": "/", "roleDefinitionId": GLOBAL_ADMINISTRATOR}  # fmt: skip
        rows = [row] if all(_matches(row, *clause) for clause in clauses) else []
        return self._collection(call, "roleManagement/directory/roleAssignments", rows)

    def _skus(self) -> list[dict[str, Any]]:
        licensed = sum(person.licensed for person in self.tenant.people.users)
        return [
            {
                "id": f"{self.tenant.tenant_id}_{sku}",
                "skuId": sku,
                "skuPartNumber": part,
                "capabilityStatus": "Enabled",
                "appliesTo": "User",
                "consumedUnits": licensed,
                "prepaidUnits": {"enabled": licensed + 10, "suspended": 0, "warning": 0, "lockedOut": 0},
                "servicePlans": [],
            }
            for sku, part in ((shapes.SKU_E3, "ENTERPRISEPACK"), (shapes.SKU_SALES_PREMIUM, "DYN365_SALES_PREMIUM"))
        ]

    def _domains(self) -> list[dict[str, Any]]:
        people = self.tenant.people
        return [
            {
                "id": domain,
                "authenticationType": "Managed",
                "isAdminManaged": True,
                "isDefault": domain == people.domain,
                "isInitial": domain == people.initial_domain,
                "isRoot": not domain.startswith("eu."),
                "isVerified": True,
                "supportedServices": ["Email", "OfficeCommunicationsOnline"],
            }
            for domain in people.verified_domains
        ]

    def _organization(self) -> dict[str, Any]:
        people = self.tenant.people
        return {
            "id": self.tenant.tenant_id,
            "displayName": people.domain.split(".")[0].title(),
            "tenantType": "AAD",
            "verifiedDomains": [
                {
                    "name": domain,
                    "type": "Managed",
                    "isDefault": domain == people.domain,
                    "isInitial": domain == people.initial_domain,
                    "capabilities": "Email, OfficeCommunicationsOnline",
                }
                for domain in people.verified_domains
            ],
        }

    def _item_insights(self, call: Call, rest: tuple[str, ...]) -> Answer:
        if rest != ("people", "itemInsights"):
            return _not_simulated()
        return data({"isEnabledInOrganization": True, "disabledForGroup": None})

    # --- pages ----------------------------------------------------------------------------------------------------

    def _collection(self, call: Call, name: str, rows: list[dict[str, Any]]) -> Answer:
        """A list that does not page."""
        if call.fault and call.fault.variant == "empty_value":
            rows = []
        return data({"@odata.context": f"{call.base}/v1.0/$metadata#{name}", "value": rows}, len(rows))

    def _page(self, call: Call, name: str, total: int, row: Callable[[int], dict[str, Any]]) -> Answer:
        """One page of up to $top rows (100 by default, 999 at most); links carry a $skiptoken."""
        options = call.options
        size = options.top(_PAGE_CAP) or min(call.page_size or 100, _PAGE_CAP)
        token = options.get("$skiptoken")
        if token and not (options.signed and token.isdigit()):
            raise BadQuery("Directory_ExpiredPageToken", "The specified page token value has expired.")
        position = int(token or 0)
        document: dict[str, Any] = {"@odata.context": f"{call.base}/v1.0/$metadata#{name}"}
        if options.flag("$count"):
            document["@odata.count"] = total
        if call.fault and call.fault.variant == "empty_value":
            return data({**document, "value": []}, 0)
        after = min(position + size, total)
        document["value"] = [row(n) for n in range(position, after)]
        if after < total:
            values = {**options.values, "$skiptoken": str(after)}
            document["@odata.nextLink"] = query.link(f"{call.base}/v1.0", call.path, values, call.sign)
        return data(document, after - position)


def missing(what: str) -> Answer:
    """The directory does not know the object."""
    return error(
        404,
        "Request_ResourceNotFound",
        f"Resource '{what}' does not exist or one of its queried reference-property objects are not present.",
        {},
    )


def denied() -> Answer:
    """The token lacks the role for a directory request."""
    return error(403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.", {})


def _not_simulated() -> Answer:
    return error(400, "BadRequest", "Resource not found for the segment; the simulator does not have it.", {})


def _unsupported() -> Answer:
    return error(400, "Request_UnsupportedQuery", "The query needs ConsistencyLevel: eventual and $count=true.", {})


def _picked(row: dict[str, Any], select: Sequence[str]) -> dict[str, Any]:
    return {name: row[name] for name in select if name in row}


def _matches(row: dict[str, Any], name: str, operator: str, value: str | bool | None) -> bool:
    held = row.get(name)
    if isinstance(held, str) and isinstance(value, str):
        held, value = held.lower(), value.lower()
    return (held == value) == (operator == "eq")
