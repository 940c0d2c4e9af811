"""What a request asks for: OData options, the little `$filter` grammar, and signed links to the next page."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote

from relationship_pipeline.simulator.times import parse_iso

FAR = 1 << 60
_CLAUSE = re.compile(r"^(receivedDateTime|sentDateTime|lastModifiedDateTime)\s+(ge|gt|le|lt)\s+(\S+)$")
_TIMES = frozenset({"receivedDateTime", "sentDateTime", "lastModifiedDateTime"})
_EQUALS = re.compile(r"^(\w+)\s+(eq|ne)\s+(?:'((?:[^']|'')*)'|(true|false|null))$")


class BadQuery(Exception):
    """A request Graph refuses with 400: the code and message of its answer."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Window:
    """The times a filter allows, as [low, high) seconds, by property."""

    bounds: Mapping[str, tuple[int, int]]
    properties: tuple[str, ...]

    def of(self, name: str) -> tuple[int, int]:
        return self.bounds.get(name, (-FAR, FAR))


def parse_time_filter(text: str) -> Window:
    """Comparisons of times joined by `and`; anything else raises BadQuery, as the simulator must not guess."""
    bounds: dict[str, tuple[int, int]] = {}
    order: list[str] = []
    for clause in re.split(r"\s+and\s+", text.strip()) if text.strip() else ():
        match = _CLAUSE.match(clause.strip().strip("()").strip())
        if not match:
            raise BadQuery("ErrorInvalidUrlQueryFilter", "The query filter contains one or more invalid nodes.")
        name, operator, value = match.groups()
        try:
            moment = parse_iso(value.replace(" ", "+"))
        except ValueError:
            raise BadQuery("RequestBroker--ParseUri", f"Unrecognized literal in '{name}' comparison.") from None
        low, high = bounds.get(name, (-FAR, FAR))
        if operator in ("ge", "gt"):
            low = max(low, moment + (operator == "gt"))
        else:
            high = min(high, moment + (operator == "le"))
        bounds[name] = (low, high)
        if name not in order:
            order.append(name)
    return Window(bounds, tuple(order))


def parse_orderby(text: str, allowed: Sequence[str]) -> list[tuple[str, bool]]:
    """Pairs of property and whether it descends."""
    found = []
    for part in text.split(",") if text.strip() else ():
        words = part.split()
        if (
            not words
            or len(words) > 2
            or words[0] not in allowed
            or (len(words) == 2 and words[1] not in ("asc", "desc"))
        ):
            raise BadQuery("RequestBroker--ParseUri", "Could not parse the $orderby clause.")
        found.append((words[0], words[1:] == ["desc"]))
    return found


def check_efficiency(window: Window, orderby: Sequence[tuple[str, bool]]) -> None:
    """Properties of $orderby must stand in $filter too, in the same order, before any other (graph.md 1.3)."""
    ordered = tuple(name for name, _ in orderby)
    if window.properties and ordered and window.properties[: len(ordered)] != ordered:
        raise BadQuery("InefficientFilter", "The restriction or sort order is too complex for this operation.")


def parse_equality_filter(text: str, allowed: frozenset[str]) -> list[tuple[str, str, str | bool | None]]:
    """`property eq|ne literal` joined by `and`, for directory objects."""
    found: list[tuple[str, str, str | bool | None]] = []
    for clause in re.split(r"\s+and\s+", text.strip()) if text.strip() else ():
        match = _EQUALS.match(clause.strip())
        if not match or match[1] not in allowed:
            raise BadQuery("Request_UnsupportedQuery", "Unsupported or invalid query filter clause specified.")
        name, operator, string, word = match.groups()
        literal: str | bool | None = {"true": True, "false": False, "null": None}.get(word)
        found.append((name, operator, string.replace("''", "'") if string is not None else literal))
    return found


class Options:
    """The OData options of one request; `signed` says that it came by a link of ours."""

    def __init__(self, query: str, path: str, sign: Callable[[str], str]) -> None:
        self.values: dict[str, str] = {}
        for name, value in parse_qsl(query, keep_blank_values=True):
            if name in self.values:
                raise BadQuery("RequestBroker--ParseUri", f"Query option '{name}' was specified more than once.")
            self.values[name] = value
        signature = self.values.pop("sig", None)
        self.signed = signature is not None
        if signature is not None and not hmac.compare_digest(signature, sign(canonical(path, self.values))):
            raise BadQuery("BadRequest", "The continuation link is not one this service gave out.")

    def get(self, name: str) -> str:
        return self.values.get(name, "")

    def flag(self, name: str) -> bool:
        value = self.get(name).lower()
        if value not in ("", "true", "false"):
            raise BadQuery("BadRequest", f"Invalid value for {name}.")
        return value == "true"

    def number(self, name: str, lowest: int = 0) -> int | None:
        value = self.values.get(name)
        if value is None:
            return None
        if not value.isdigit() or int(value) < lowest:
            raise BadQuery("BadRequest", f"Invalid value '{value}' for {name} query option found.")
        return int(value)

    def top(self, cap: int) -> int | None:
        """$top within its cap, beyond which Graph answers 400."""
        size = self.number("$top", 1)
        if size is not None and size > cap:
            raise BadQuery(
                "BadRequest", f"Invalid page size specified: '{size}'. Must be between 1 and {cap} inclusive."
            )
        return size

    def select(self, known: frozenset[str], default: Sequence[str], kind: str) -> Sequence[str]:
        """Selected properties in order; an unknown one raises BadQuery."""
        text = self.get("$select")
        if not text:
            return default
        names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
        for name in names:
            if name not in known:
                message = f"Could not find a property named '{name}' on type 'Microsoft.OutlookServices.{kind}'."
                raise BadQuery("RequestBroker--ParseUri", message)
        return names if "id" in names else ("id", *names)


def canonical(path: str, values: Mapping[str, str]) -> str:
    """What is signed: the path and all options, in any order."""
    return unquote(path) + "?" + "&".join(f"{name}={values[name]}" for name in sorted(values))


def signer(secret: bytes) -> Callable[[str], str]:
    """A function that signs links, so that only links of ours lead on."""

    def sign(text: str) -> str:
        return hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()[:20]

    return sign


def link(base: str, path: str, values: Mapping[str, str], sign: Callable[[str], str]) -> str:
    """An absolute, signed URL."""
    query = "&".join(f"{quote(name, safe='$')}={quote(value, safe='')}" for name, value in values.items())
    return f"{base}{quote(path, safe='/()')}?{query}&sig={sign(canonical(path, values))}"


def skip_on_the_wire(position: int) -> int:
    """`$skip` counts items that are no messages too (graph.md 7.2 no. 5): 500 rows make it 503."""
    return position + position // 150


def skip_meant(wire: int) -> int:
    """The row at which a `$skip` of ours points: the inverse of `skip_on_the_wire`."""
    position = wire * 150 // 151
    while skip_on_the_wire(position) < wire:
        position += 1
    return position
