"""The identity side: the app's registration and grants, tokens, and what the token endpoint answers (graph.md 4).

Tokens are JSON web tokens signed with a secret of the simulator. Roles are enforced from the token, never from the
current grants, so an old token works until it expires, as in life.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from relationship_pipeline.simulator.hashing import guid, seed_of
from relationship_pipeline.simulator.scenario import Scenario
from relationship_pipeline.simulator.times import iso

GRAPH_APP_ID = "00000003-0000-0000-c000-000000000000"
"""Microsoft Graph's own, which its challenges name."""
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
# Application roles by name (graph.md 1.1; the rest of the ids from the same public list).
ROLE_IDS: Mapping[str, str] = {
    "Mail.ReadBasic.All": "693c5e45-0940-467d-9b8a-1022fb9d42ef",
    "Mail.ReadBasic": "6be147d2-ea4f-4b5a-a3fa-3eab6f3c140a",
    "Mail.Read": "810c84a8-4a9e-49e6-bf7d-12d183f40d01",
    "Calendars.ReadBasic.All": "8ba4a692-bc31-4128-9094-475872af8a53",
    "Calendars.Read": "798ee544-9d2d-430c-a058-570e29e34338",
    "User.Read.All": "df021288-bdef-4463-88db-98f22de89214",
    "User.ReadBasic.All": "97235f07-e226-4f63-ace3-39588e11d3a1",
    "GroupMember.Read.All": "98830695-27a2-44f7-8c18-0c3ebc9698f6",
    "Group.Read.All": "5b567255-7703-4780-807c-7be8301ae99b",
    "Directory.Read.All": "7ab1d382-f21e-4acd-a863-ba3e13f7da61",
    "Application.Read.All": "9a5d68dd-52b0-4cc2-bd40-abcf44ac3a30",
    "AuditLog.Read.All": "b0afded3-3588-46d8-8b3d-9842eff778da",
    "LicenseAssignment.Read.All": "e2f98668-2877-4f38-a2f4-8202e0717aa1",
    "Organization.Read.All": "498476ce-e0fe-48b0-b801-37ba7e2685c6",
    "RoleManagement.Read.Directory": "483bed4a-2ad3-4361-a73b-c83ccdbdc53c",
    "Domain.Read.All": "dbb9058a-0e50-45d7-ae91-66909b5d4664",
    "PeopleSettings.Read.All": "ef02f2e7-e22d-4c77-8614-8f765683b86e",
    "MailboxSettings.Read": "40f97065-369a-49f4-947c-6a255697ae91",
}


class TokenError(Exception):
    """An error of the token endpoint: HTTP status, OAuth error and AADSTS number."""

    def __init__(self, status: int, error: str, number: int, text: str, retry_after: str | None = None) -> None:
        super().__init__(f"AADSTS{number}")
        self.status, self.error, self.number, self.text, self.retry_after = status, error, number, text, retry_after


@dataclass
class Grant:
    """An app role granted to the app; times are seconds of the service clock."""

    role: str
    granted_at: float
    revoked_at: float | None = None


@dataclass
class Registration:
    """The state of the app in the tenant, as an administrator changes it."""

    grants: list[Grant] = field(default_factory=list)
    app_enabled: bool = True
    app_deleted: bool = False
    secret_valid: bool = True
    tenant_exists: bool = True
    exchange_roles: set[str] = field(default_factory=set)
    exchange_scope: set[str] | None = None  # object ids of mailboxes, None for all
    expired_tokens: set[str] = field(default_factory=set)

    def roles(self, at: float) -> list[str]:
        """Roles granted at a time, in order."""
        return sorted(
            {g.role for g in self.grants if g.granted_at <= at and (g.revoked_at is None or at < g.revoked_at)}
        )

    def grant(self, role: str, now: float) -> None:
        if role not in self.roles(now):
            self.grants.append(Grant(role, now))

    def revoke(self, role: str, now: float) -> None:
        for grant in self.grants:
            if grant.role == role and grant.revoked_at is None:
                grant.revoked_at = now


class Identity:
    """Issues and checks tokens for one scenario."""

    def __init__(self, scenario: Scenario, tenant_id: str) -> None:
        self.scenario = scenario
        self.tenant_id = tenant_id
        self.registration = Registration()
        for role in scenario.roles:
            if scenario.grant_mode == "exchange_rbac" and role.startswith(("Mail.", "Calendars.")):
                self.registration.exchange_roles.add(role)
            else:
                self.registration.grants.append(Grant(role, 0.0))
        self.token_seconds = scenario.token_seconds
        self.principal_id = guid(tenant_id, "service principal")
        self.graph_principal_id = guid(tenant_id, "graph principal")
        self._secret = hashlib.blake2b(str(seed_of("tokens", scenario.seed)).encode()).digest()
        self._issued = 0
        self._checked: dict[str, dict[str, Any]] = {}

    def knows(self, tenant: str) -> bool:
        """Whether a tenant, by id or domain, exists."""
        return self.registration.tenant_exists and tenant.lower() in (self.tenant_id, self.scenario.tenant_domain)

    def discovery(self, base: str, tenant: str) -> dict[str, Any]:
        """The OpenID configuration that MSAL reads first."""
        return {
            "token_endpoint": f"{base}/{tenant}/oauth2/v2.0/token",
            "authorization_endpoint": f"{base}/{tenant}/oauth2/v2.0/authorize",
            "issuer": f"{base}/{self.tenant_id}/v2.0",
            "jwks_uri": f"{base}/{tenant}/discovery/v2.0/keys",
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
            "response_types_supported": ["code", "id_token"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "tenant_region_scope": None,
            "cloud_instance_name": "microsoftonline.com",
        }

    def token(self, tenant: str, body: bytes, base: str, now: float) -> dict[str, Any]:
        """Answer a client credentials request. Raises TokenError with the status and AADSTS number of graph.md 4.2."""
        form = {name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
        state, client = self.registration, form.get("client_id", "")
        if not self.knows(tenant):
            raise TokenError(400, "invalid_request", 90002, f"Tenant '{tenant}' not found.")
        if form.get("grant_type") != "client_credentials":
            raise TokenError(400, "unsupported_grant_type", 70003, "The app requested an unsupported grant type.")
        if client != self.scenario.client_id:
            raise TokenError(
                400, "unauthorized_client", 700016, f"Application with identifier '{client}' was not found."
            )
        if not form.get("scope", "").endswith("/.default"):
            raise TokenError(400, "invalid_scope", 1002012, "The provided value for scope is not valid.")
        self._check_credential(form, tenant, base, now)
        if state.app_deleted:
            raise TokenError(401, "invalid_client", 7000229, "The client application is missing service principal.")
        if not state.app_enabled:
            raise TokenError(400, "unauthorized_client", 7000112, "Application is disabled.")
        self._issued += 1
        claims: dict[str, Any] = {
            "aud": "https://graph.microsoft.com",
            "iss": f"https://sts.windows.net/{self.tenant_id}/",
            "iat": int(now),
            "nbf": int(now),
            "exp": int(now) + self.token_seconds,
            "appid": client,
            "app_displayname": "Relationship pipeline",
            "idtyp": "app",
            "oid": self.principal_id,
            "tid": self.tenant_id,
            "uti": self._uti(self._issued),
            "ver": "1.0",
        }
        roles = state.roles(now)
        if roles:  # an app without roles gets a token without the claim
            claims["roles"] = roles
        return {
            "token_type": "Bearer",
            "expires_in": self.token_seconds,
            "ext_expires_in": self.token_seconds,
            "access_token": self._sign(claims),
        }

    def _check_credential(self, form: Mapping[str, str], tenant: str, base: str, now: float) -> None:
        if form.get("client_assertion_type") == _ASSERTION:
            self._check_assertion(form.get("client_assertion", ""), tenant, base)
        elif not hmac.compare_digest(form.get("client_secret", ""), self.scenario.client_secret):
            raise TokenError(401, "invalid_client", 7000215, "Invalid client secret provided.")
        elif not self.registration.secret_valid:
            raise TokenError(401, "invalid_client", 7000222, "The provided client secret keys are expired.")

    def _check_assertion(self, assertion: str, tenant: str, base: str) -> None:
        """A signed assertion must be about us, in time and by the registered certificate."""
        import jwt
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes

        if not self.scenario.client_certificate or not self.registration.secret_valid:
            raise TokenError(401, "invalid_client", 700027, "The certificate is not registered on the application.")
        certificate = x509.load_pem_x509_certificate(self.scenario.client_certificate.encode())
        thumbprints = {
            urlsafe_b64encode(certificate.fingerprint(algorithm)).decode().rstrip("=")
            for algorithm in (hashes.SHA1(), hashes.SHA256())  # noqa: S303 - x5t is defined by SHA-1
        }
        audience = [f"{base}/{tenant}/oauth2/v2.0/token", f"{base}/{tenant}/v2.0", f"{base}/{self.tenant_id}/v2.0"]
        try:
            header = jwt.get_unverified_header(assertion)
            given = {str(header.get(name, "")).rstrip("=") for name in ("x5t", "x5t#S256")}
            if not given & thumbprints:
                raise jwt.InvalidKeyError
            claims = jwt.decode(assertion, certificate.public_key(), algorithms=["RS256", "PS256"], audience=audience)  # type: ignore[arg-type]
        except jwt.PyJWTError:
            raise TokenError(401, "invalid_client", 700027, "Client assertion failed signature validation.") from None
        if claims.get("iss") != self.scenario.client_id:
            raise TokenError(401, "invalid_client", 700021, "Client assertion application identifier doesn't match.")

    def _sign(self, claims: Mapping[str, Any]) -> str:
        parts = [_encode({"typ": "JWT", "alg": "HS256"}), _encode(claims)]
        return ".".join([*parts, self._signature(".".join(parts))])

    def _signature(self, text: str) -> str:
        return urlsafe_b64encode(hmac.new(self._secret, text.encode(), hashlib.sha256).digest()).decode().rstrip("=")

    def check(self, authorization: str, now: float) -> dict[str, Any] | None:
        """The claims of a good bearer token; None when it is missing, not ours, altered or expired."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or token.count(".") != 2:
            return None
        claims = self._checked.get(token)
        if claims is None:
            head, body, signature = token.split(".")
            if not hmac.compare_digest(signature, self._signature(f"{head}.{body}")):
                return None
            claims = json.loads(urlsafe_b64decode(body + "=" * (-len(body) % 4)))
            self._checked[token] = claims
        if now >= claims["exp"] or claims["uti"] in self.registration.expired_tokens:
            return None
        return claims

    def expire_all(self) -> None:
        """Make every token given out so far worthless."""
        self.registration.expired_tokens |= {self._uti(n) for n in range(1, self._issued + 1)}

    def _uti(self, number: int) -> str:
        return guid(self.scenario.seed, "uti", number)[:22]

    def error(self, error: TokenError, now: float) -> dict[str, Any]:
        """The body of a token error, as Entra writes it."""
        trace, correlation = guid("trace", now), guid("correlation", now)
        stamp = iso(int(now)).replace("T", " ")
        return {
            "error": error.error,
            "error_description": (
                f"AADSTS{error.number}: {error.text} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {stamp}"
            ),
            "error_codes": [error.number],
            "timestamp": stamp,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": f"https://login.microsoftonline.com/error?code={error.number}",
        }


def _encode(part: Mapping[str, Any]) -> str:
    return urlsafe_b64encode(json.dumps(part, separators=(",", ":")).encode()).decode().rstrip("=")
