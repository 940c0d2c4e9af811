"""Tokens: one MSAL confidential client, asked for a token per batch of requests; the token lives in memory only.

A token error is either an operations fault (an expired secret: nothing is ever deleted for it) or looks like a
withdrawal of the admin's consent (graph.md 4.2); which is pure data here, what follows is the consent room's matter.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from relationship_pipeline.errors import BadInput, PipelineError, Refused, TryAgain

if TYPE_CHECKING:
    from relationship_pipeline.settings import GraphSettings


@dataclass(frozen=True)
class Cloud:
    """Hosts of one national cloud (graph.md 4.1)."""

    authority: str
    graph: str


CLOUDS = {
    "global": Cloud("https://login.microsoftonline.com", "https://graph.microsoft.com"),
    "us_gov": Cloud("https://login.microsoftonline.us", "https://graph.microsoft.us"),
    "us_dod": Cloud("https://login.microsoftonline.us", "https://dod-graph.microsoft.us"),
    "china": Cloud("https://login.chinacloudapi.cn", "https://microsoftgraph.chinacloudapi.cn"),
}

MAIL_ROLES = frozenset({"Mail.ReadBasic.All", "Mail.ReadBasic"})
CALENDAR_ROLES = frozenset({"Calendars.ReadBasic.All", "Calendars.ReadBasic"})
ROLE_IDS = {
    "693c5e45-0940-467d-9b8a-1022fb9d42ef": "Mail.ReadBasic.All",
    "6be147d2-ea4f-4b5a-a3fa-3eab6f3c140a": "Mail.ReadBasic",
    "8ba4a692-bc31-4128-9094-475872af8a53": "Calendars.ReadBasic.All",
    "df021288-bdef-4463-88db-98f22de89214": "User.Read.All",
    "98830695-27a2-44f7-8c18-0c3ebc9698f6": "GroupMember.Read.All",
    "9a5d68dd-52b0-4cc2-bd40-abcf44ac3a30": "Application.Read.All",
    "b0afded3-3588-46d8-8b3d-9842eff778da": "AuditLog.Read.All",
    "7ab1d382-f21e-4acd-a863-ba3e13f7da61": "Directory.Read.All",
    "e2f98668-2877-4f38-a2f4-8202e0717aa1": "LicenseAssignment.Read.All",
    "498476ce-e0fe-48b0-b801-37ba7e2685c6": "Organization.Read.All",
    "483bed4a-2ad3-4361-a73b-c83ccdbdc53c": "RoleManagement.Read.Directory",
    "ef02f2e7-e22d-4c77-8614-8f765683b86e": "PeopleSettings.Read.All",
    "40f97065-369a-49f4-947c-6a255697ae91": "MailboxSettings.Read",
    "97235f07-e226-4f63-ace3-39588e11d3a1": "User.ReadBasic.All",
    "dbb9058a-0e50-45d7-ae91-66909b5d4664": "Domain.Read.All",
    "658aa5d8-239f-45c4-aa12-864f4fc7e490": "Member.Read.Hidden",
}
"""App role ids of Microsoft Graph that we know, by name (graph.md 1.1)."""
ALLOWED_ROLES = frozenset(ROLE_IDS.values()) | {
    "Calendars.ReadBasic",
    "GroupMember.ReadBasic.All",
}
"""Reading metadata needs nothing beyond these; a token with more is refused (reliability.md 6)."""


class Trouble(StrEnum):
    """What a token error means for the consent (graph.md 4.2). UNKNOWN: stop collecting, delete nothing."""

    OPERATIONS = "operations"
    WITHDRAWN = "withdrawn"
    UNKNOWN = "unknown"


_AADSTS: dict[int, tuple[Trouble, str]] = {
    7000112: (Trouble.WITHDRAWN, "the enterprise application is disabled"),
    7000229: (Trouble.WITHDRAWN, "the enterprise application is missing from the tenant"),
    700016: (Trouble.WITHDRAWN, "the application is not known in the tenant; check client_id and tenant_id"),
    90002: (Trouble.OPERATIONS, "the tenant does not exist; check tenant_id"),
    65001: (Trouble.WITHDRAWN, "the administrator's consent is missing"),
    7000215: (Trouble.OPERATIONS, "the client secret is wrong; set the secret's value, not its id"),
    7000222: (Trouble.OPERATIONS, "the client secret has expired; make a new one"),
    7005003: (Trouble.OPERATIONS, "the client secret was revoked; make a new one"),
    700027: (Trouble.OPERATIONS, "the certificate is not registered for the application, or has expired"),
    500011: (Trouble.OPERATIONS, "Microsoft Graph is not set up in the tenant; check cloud and tenant_id"),
    53003: (Trouble.OPERATIONS, "a Conditional Access policy blocks the application"),
}


class TokenRefused(PipelineError):
    """No token. `trouble` says whether this looks like a withdrawn consent."""

    def __init__(self, trouble: Trouble, text: str) -> None:
        super().__init__(f"no access to Microsoft Graph: {text}")
        self.trouble = trouble


class SignInBusy(TokenRefused, TryAgain):
    """No token now: the sign-in service does not answer, or asks to be left alone."""


def explain(error: str, codes: Collection[int]) -> TokenRefused:
    """The meaning of a token endpoint's error. Numbers may change, so one that is not known is UNKNOWN."""
    for code in codes:
        if code in _AADSTS:
            trouble, text = _AADSTS[code]
            return TokenRefused(trouble, f"{text} (AADSTS{code})")
    return TokenRefused(Trouble.UNKNOWN, f"{error or 'error'} {' '.join(f'AADSTS{code}' for code in codes)}".strip())


@dataclass(frozen=True)
class Endpoints:
    """Where to go, from the settings. `base` ends with the version and no slash."""

    authority: str
    base: str
    scope: str


def endpoints(settings: GraphSettings) -> Endpoints:
    """Raises BadInput for an unknown cloud or an address that is not https."""
    cloud = CLOUDS.get(settings.cloud)
    if cloud is None:
        raise BadInput(f"setting graph.cloud: choose one of {', '.join(CLOUDS)}")
    if not settings.tenant_id or not settings.client_id:
        raise BadInput("settings graph.tenant_id and graph.client_id are needed to read from Microsoft Graph")
    authority = (settings.authority or cloud.authority).rstrip("/")
    if not urlsplit(authority).path.strip("/"):
        authority = f"{authority}/{settings.tenant_id}"
    base = (settings.base_url or cloud.graph).rstrip("/")
    if not urlsplit(base).path.strip("/"):
        base = f"{base}/v1.0"
    for name, url in (("authority", authority), ("base_url", base)):
        if urlsplit(url).scheme != "https":
            raise BadInput(f"setting graph.{name} must begin with https://")
    return Endpoints(authority, base, f"{cloud.graph}/.default")


def roles_of(token: str) -> frozenset[str] | None:
    """The application roles in an access token, None where it cannot be read (Graph's tokens are formally opaque)."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = msgspec.json.decode(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, msgspec.DecodeError):
        return None
    roles = claims.get("roles", ()) if isinstance(claims, dict) else ()
    return frozenset(role for role in roles if isinstance(role, str)) if isinstance(roles, list | tuple) else None


def refuse_excess(roles: Collection[str]) -> None:
    """Raises Refused when the application was granted more than reading metadata needs."""
    excess = sorted(set(roles) - ALLOWED_ROLES)
    if excess:
        raise Refused(
            f"the application holds more permissions than it may use: {', '.join(excess)}; "
            "remove them from the app registration, then run this again"
        )


_BUSY = ("temporarily_unavailable", "server_error")
_TOO_MANY = 90055
"""The tenant asks too often; comes under more than one status."""
REUSE_SECONDS = 30.0
"""How long one answer of MSAL serves requests: asking it for each would cost more than the request."""
TRIES = 6
SIGN_IN_TIMEOUT = 30.0


class TokenSource:
    """Access tokens for one tenant. Safe for many coroutines; MSAL runs in a thread because it blocks.

    `require` names roles of which the token must hold one, when it can be read: a fresh token without them means that
    the grant is gone, and no further mail request may be sent (graph.md 4.2).
    """

    def __init__(
        self,
        settings: GraphSettings,
        *,
        require: Collection[str] = (),
        first_wait: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._where = endpoints(settings)
        self._require = frozenset(require) if settings.grant_mode == "entra" else frozenset()
        self._first_wait = first_wait
        self._clock = clock
        self._app: Any = None
        self._session: Any = None
        self._last: _Answer | None = None
        self._token: str | None = None
        self._asked_at = 0.0
        self._lock: asyncio.Lock | None = None

    async def token(self) -> str:
        """A token that is good now. Raises TokenRefused or Refused."""
        if self._token is not None and self._clock() - self._asked_at < REUSE_SECONDS:
            return self._token
        return await self._ask(None, None)

    async def renew(self, failed: str, claims: str | None = None) -> str:
        """Another token than the one that Graph refused; one caller asks, the others share it."""
        return await self._ask(failed, claims)

    def close(self) -> None:
        """Close the connections to the sign-in service and forget its tokens."""
        if self._session is not None:
            self._session.close()
        self._app = self._session = self._token = None

    async def _ask(self, failed: str | None, claims: str | None) -> str:
        if self._lock is None:
            self._lock = asyncio.Lock()
        async with self._lock:
            recent = self._clock() - self._asked_at < REUSE_SECONDS
            if self._token is not None and self._token != failed and (failed is not None or recent):
                return self._token
            wait = self._first_wait
            for attempt in range(1, TRIES + 1):
                try:
                    token = await asyncio.to_thread(self._acquire, failed is not None, claims)
                    break
                except _Unreachable as error:
                    if attempt == TRIES:
                        raise SignInBusy(Trouble.OPERATIONS, f"the sign-in service is {error}") from None
                    await asyncio.sleep(wait)
                    wait *= 2
            self._token, self._asked_at = token, self._clock()
            return token

    def _acquire(self, fresh: bool, claims: str | None) -> str:
        import msal.exceptions
        import requests

        try:
            if self._app is None or fresh:
                self.close()
                self._app = self._make_app()
            answer = self._app.acquire_token_for_client([self._where.scope], claims_challenge=claims)
        except (requests.RequestException, msal.exceptions.MsalError, OSError) as error:
            raise _Unreachable(f"not answering ({type(error).__name__})") from None
        except PipelineError:
            raise
        except Exception as error:
            # MSAL checks little of what it is answered, and names the answer in some of its errors.
            raise self._meaning(type(error).__name__) from None
        token = answer.get("access_token")
        if not isinstance(token, str):
            numbers = answer.get("error_codes")
            codes = [code for code in numbers if isinstance(code, int)] if isinstance(numbers, list) else []
            error_name = answer.get("error")
            passing = self._last is not None and self._last.is_passing
            if passing or not isinstance(error_name, str) or error_name in _BUSY or _TOO_MANY in codes:
                # The app is kept: MSAL itself holds back until the service's Retry-After has passed.
                raise _Unreachable("busy")
            self.close()
            raise explain(error_name, codes)
        roles = roles_of(token)
        if roles is not None:
            refuse_excess(roles)
            if self._require and not roles & self._require:
                raise TokenRefused(
                    Trouble.WITHDRAWN, f"the permission {sorted(self._require)[-1]} is not granted by the administrator"
                )
        return token

    def _meaning(self, error: str) -> Exception:
        """What it means that MSAL failed, by the last answer that it got: most answers that are none of the sign-in
        service's come of something on the way to it, and pass."""
        last = self._last
        if last is not None and last.is_discovery and last.status in (400, 404):
            return TokenRefused(
                Trouble.OPERATIONS, "the sign-in service does not know the tenant; check graph.tenant_id"
            )
        if last is not None and last.is_passing:
            return _Unreachable(f"not answering as it should (status {last.status})")
        return TokenRefused(
            Trouble.OPERATIONS,
            f"signing in failed ({error}); check graph.authority, graph.tenant_id and the certificate or secret",
        )

    def _make_app(self) -> Any:
        """A new MSAL client: its error cache is empty and its token cache too (graph.md 4.1)."""
        import msal
        import requests

        settings = self._settings
        session = self._session = requests.Session()
        self._last = None
        send = session.request
        # A verify of the session would lose against REQUESTS_CA_BUNDLE in the environment; one of the request does not.
        verify = str(settings.ca_bundle) if settings.ca_bundle else None

        def request(method: str, url: str, **options: Any) -> requests.Response:
            response = send(method, url, **{**options, "timeout": SIGN_IN_TIMEOUT, "verify": verify})
            self._last = _Answer.of(url, response.status_code, response.content)
            return response

        session.request = request  # type: ignore[method-assign,assignment]
        return msal.ConfidentialClientApplication(
            settings.client_id,
            client_credential=client_credential(settings),
            authority=self._where.authority,
            instance_discovery=False,
            http_client=session,
        )


class _Unreachable(Exception):
    pass


@dataclass(frozen=True)
class _Answer:
    """What is remembered of the sign-in service's last answer; `is_passing` where another try may bring a better one."""

    is_discovery: bool
    status: int
    is_passing: bool

    @classmethod
    def of(cls, url: str, status: int, body: bytes) -> _Answer:
        try:
            is_document = isinstance(msgspec.json.decode(body), dict)
        except ValueError:
            is_document = False  # a proxy's page: whatever its status says, the service did not say it
        passing = status == 429 or status >= 500 or not is_document
        return cls(url.endswith("/openid-configuration"), status, passing)


def client_credential(settings: GraphSettings) -> str | dict[str, str]:
    """What MSAL signs in with: a certificate (PFX, or PEM with key and certificate) or a secret. Raises BadInput."""
    if settings.certificate_path is None:
        if settings.client_secret is None:
            raise BadInput("set RELATIONSHIP_GRAPH__CERTIFICATE_PATH or RELATIONSHIP_GRAPH__CLIENT_SECRET")
        return settings.client_secret.get_secret_value()
    password = settings.certificate_password.get_secret_value() if settings.certificate_password else None
    return _certificate(settings.certificate_path, password)


def _certificate(path: Path, password: str | None) -> dict[str, str]:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.serialization import pkcs12

    secret = password.encode() if password else None
    try:
        content = path.read_bytes()
        if path.suffix.lower() in (".pfx", ".p12"):
            key, certificate, _ = pkcs12.load_key_and_certificates(content, secret)
        else:
            key = serialization.load_pem_private_key(content, secret)
            certificate = x509.load_pem_x509_certificate(content)
    except (OSError, ValueError, TypeError) as error:
        raise BadInput(
            f"setting graph.certificate_path: {path.name} cannot be read as PFX, or as PEM with key and certificate "
            f"({type(error).__name__}); check the file and graph.certificate_password"
        ) from None
    if key is None or certificate is None:
        raise BadInput(f"setting graph.certificate_path: {path.name} holds no private key with its certificate")
    encoding = serialization.Encoding.PEM
    return {
        "private_key": key.private_bytes(
            encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode(),
        "public_certificate": certificate.public_bytes(encoding).decode(),
    }
