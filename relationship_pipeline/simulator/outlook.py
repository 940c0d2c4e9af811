"""Mail and calendars: what Exchange answers behind Graph."""

from __future__ import annotations

from base64 import b64decode
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from relationship_pipeline.simulator import query, shapes
from relationship_pipeline.simulator.answers import Answer, Call, data, error
from relationship_pipeline.simulator.mailbox import BY_WELL_KNOWN, FOLDERS, Copy
from relationship_pipeline.simulator.query import BadQuery, Options
from relationship_pipeline.simulator.tenant import Tenant
from relationship_pipeline.simulator.times import DAY, parse_iso

_PAGE_CAP = 1000
_LISTS_HELD = 64
_MESSAGE_OPTIONS = frozenset({"$select", "$filter", "$orderby", "$top", "$skip", "$count"})
_VIEW_OPTIONS = frozenset({"startDateTime", "endDateTime", "$select", "$orderby", "$top", "$skip", "$count"})
_FOLDER_OPTIONS = frozenset({"includeHiddenFolders", "$select", "$top", "$skip", "$count"})
_SORT: dict[str, Callable[[Copy, int], int]] = {
    "receivedDateTime": lambda copy, now: copy.received,
    "sentDateTime": lambda copy, now: copy.email.sent_header,
    "lastModifiedDateTime": lambda copy, now: copy.modified_at(now),
}
_FOLDER_FIELDS = frozenset({"id", "displayName", "parentFolderId", "childFolderCount", "unreadItemCount",
                            "totalItemCount", "isHidden", "sizeInBytes"})  # fmt: skip


class Outlook:
    """Answers requests about one mailbox; the caller has checked that it exists and may be read."""

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self.corrupt: dict[tuple[int, int], int] = {}  # (rule, mailbox) -> number of the item that cannot be read
        self._lists: OrderedDict[tuple, list[Copy]] = OrderedDict()

    def answer(self, call: Call, user: int, rest: tuple[str, ...]) -> Answer:
        """Route what follows /users/{id}/ . Raises BadQuery."""
        if call.method == "POST" and rest == ("translateExchangeIds",):
            return self._translate(call, user)
        if call.method != "GET":
            return error(405, "ErrorInvalidRequest", "The HTTP method is not simulated.")
        if rest == ("messages",):
            return self._messages(call, user, None)
        if rest == ("messages", "$count"):
            return self._count(call, user, None)
        if rest == ("calendarView",):
            return self._calendar_view(call, user)
        if rest[0] == "mailFolders":
            return self._folders(call, user, rest[1:])
        return error(404, "BadRequest", "Resource not found for the segment; the simulator does not have it.")

    # --- messages -------------------------------------------------------------------------------------------------

    def _messages(self, call: Call, user: int, folder: int | None) -> Answer:
        options = call.options
        _refuse_unknown(options, _MESSAGE_OPTIONS)
        select = options.select(shapes.SELECTABLE_MESSAGE, shapes.MESSAGE_FIELDS, "Message")
        if shapes.BODY_FIELDS & set(select) and not self.tenant.scenario.expose_body_fields:
            return error(403, "ErrorAccessDenied", "Access is denied. Check credentials and try again.")
        size = options.top(_PAGE_CAP) or min(call.page_size or 10, _PAGE_CAP)
        copies = self._list(user, folder, options.get("$filter"), options.get("$orderby"))
        position = query.skip_meant(options.number("$skip") or 0) if options.signed else options.number("$skip") or 0
        page = copies[position : position + size]
        if call.fault and call.fault.kind == "F16" and self._spoiled(call, user, copies, page):
            return error(500, "ErrorCorruptData", "Data is corrupt.")
        shape = shapes.message_shaper(select, self.tenant.ids(user), self.tenant.now, call.immutable)
        path = call.path
        context = f"users('{self.tenant.people.users[user].oid}')/messages({','.join(select)})"
        return _page(call, path, context, [shape(copy) for copy in page], position, size, len(copies),
                     query.skip_on_the_wire)  # fmt: skip

    def _spoiled(self, call: Call, user: int, copies: Sequence[Copy], page: Sequence[Copy]) -> bool:
        """F16: the chosen row cannot be read; a page of one row that holds it fails as well."""
        rule = call.fault
        if rule is None or not copies:
            return False
        place = (id(rule), user)
        if place not in self.corrupt:
            self.corrupt[place] = copies[rule.row % len(copies)].number
        return any(copy.number == self.corrupt[place] for copy in page)

    def _list(self, user: int, folder: int | None, filter_text: str, orderby_text: str) -> list[Copy]:
        """The copies a query means, in its order; held for the pages that follow."""
        now = self.tenant.now
        key = (user, folder, filter_text, orderby_text, now, self.tenant.mailboxes.version)
        held = self._lists.get(key)
        if held is not None:
            self._lists.move_to_end(key)
            return held
        window = query.parse_time_filter(filter_text)
        orderby = query.parse_orderby(orderby_text, tuple(_SORT))
        query.check_efficiency(window, orderby)
        copies = self.tenant.messages(user, *window.of("receivedDateTime"))
        for name, pick in _SORT.items():
            if name != "receivedDateTime" and name in window.bounds:
                low, high = window.of(name)
                copies = [copy for copy in copies if low <= pick(copy, now) < high]
        if folder is not None:
            copies = [copy for copy in copies if copy.folder_at(now) == folder]
        order = orderby or [("receivedDateTime", True)]
        for name, descending in reversed(order):
            if name != "receivedDateTime" or descending:
                pick = _SORT[name]
                copies = sorted(copies, key=lambda copy, pick=pick: pick(copy, now), reverse=descending)  # type: ignore[misc]
        self._lists[key] = copies
        while len(self._lists) > _LISTS_HELD:
            self._lists.popitem(last=False)
        return copies

    def _count(self, call: Call, user: int, folder: int | None) -> Answer:
        _refuse_unknown(call.options, frozenset({"$filter"}))
        text = call.options.get("$filter")
        window = query.parse_time_filter(text)
        if folder is None and set(window.bounds) <= {"receivedDateTime"}:
            low, high = window.of("receivedDateTime")
            total = self.tenant.mailboxes.count(user, low, high, self.tenant.now)
        else:
            total = len(self._list(user, folder, text, ""))
        return Answer(200, str(total).encode(), content_type="text/plain")

    # --- folders --------------------------------------------------------------------------------------------------

    def _folders(self, call: Call, user: int, rest: tuple[str, ...]) -> Answer:
        if not rest:
            return self._folder_page(call, user, 0)
        number = BY_WELL_KNOWN.get(rest[0].lower())
        if number is None:
            number = self.tenant.ids(user).folder_number(rest[0])
        if number is None:
            return error(404, "ErrorItemNotFound", "The specified object was not found in the store.")
        if rest[1:] == ("childFolders",):
            return self._folder_page(call, user, number)
        if rest[1:] == ("messages",):
            return self._messages(call, user, number)
        if rest[1:] == ("messages", "$count"):
            return self._count(call, user, number)
        if rest[1:]:
            return error(404, "BadRequest", "Resource not found for the segment; the simulator does not have it.")
        _refuse_unknown(call.options, frozenset({"$select"}))
        row = self._folder_row(call, user, number, call.options.select(_FOLDER_FIELDS, (), "MailFolder"))
        return data({"@odata.context": _context(call, f"users('{call.mailbox}')/mailFolders/$entity"), **row})

    def _folder_page(self, call: Call, user: int, parent: int) -> Answer:
        options = call.options
        _refuse_unknown(options, _FOLDER_OPTIONS)
        select = options.select(_FOLDER_FIELDS, (), "MailFolder")
        size = options.top(_PAGE_CAP) or min(call.page_size or 10, _PAGE_CAP)
        hidden = options.flag("includeHiddenFolders")
        found = [f.number for f in FOLDERS if f.parent == parent and f.number and (hidden or not f.hidden)]
        position = options.number("$skip") or 0
        rows = [self._folder_row(call, user, number, select) for number in found[position : position + size]]
        context = f"users('{self.tenant.people.users[user].oid}')/mailFolders"
        return _page(call, call.path, context, rows, position, size, len(found), int)

    def _folder_row(self, call: Call, user: int, number: int, select: Sequence[str]) -> dict[str, Any]:
        total = 0
        if not select or "totalItemCount" in select:
            now = self.tenant.now
            total = sum(copy.folder_at(now) == number for copy in self._list(user, None, "", ""))
        german = shapes.speaks_german(self.tenant.people.users[user])
        row = shapes.folder(FOLDERS[number], self.tenant.ids(user), german, total, total // 9)
        return {name: value for name, value in row.items() if not select or name in select or name[0] == "@"}

    # --- calendar -------------------------------------------------------------------------------------------------

    def _calendar_view(self, call: Call, user: int) -> Answer:
        options = call.options
        _refuse_unknown(options, _VIEW_OPTIONS)
        try:
            start, end = parse_iso(options.get("startDateTime")), parse_iso(options.get("endDateTime"))
        except ValueError:
            raise BadQuery("ErrorInvalidParameter", "This request requires a time window specified by the query string "
                           "parameters StartDateTime and EndDateTime.") from None  # fmt: skip
        if end < start or end - start > 1825 * DAY:
            raise BadQuery("ErrorCalendarViewRangeTooBig", "The requested duration is too long or negative.")
        select = options.select(shapes.SELECTABLE_EVENT, shapes.EVENT_FIELDS, "Event")
        if shapes.BODY_FIELDS & set(select) and not self.tenant.scenario.expose_body_fields:
            return error(403, "ErrorAccessDenied", "Access is denied. Check credentials and try again.")
        orderby = query.parse_orderby(options.get("$orderby"), ("start/dateTime", "createdDateTime"))
        size = options.top(_PAGE_CAP) or min(call.page_size or 10, _PAGE_CAP)
        meetings = self.tenant.calendar(user, start, end)
        if orderby and orderby[0][1]:
            meetings.reverse()
        position = options.number("$skip") or 0
        ids, now = self.tenant.ids(user), self.tenant.now
        rows = []
        for meeting in meetings[position : position + size]:
            row = shapes.event(meeting, user, ids, now, call.immutable)
            rows.append({name: value for name, value in row.items() if name in select or name[0] == "@"})
        context = f"users('{self.tenant.people.users[user].oid}')/calendarView({','.join(select)})"
        return _page(call, call.path, context, rows, position, size, len(meetings), int)

    # --- ids ------------------------------------------------------------------------------------------------------

    def _translate(self, call: Call, user: int) -> Answer:
        """translateExchangeIds from default to immutable ids, 1,000 a call."""
        try:
            asked = msgspec.json.decode(call.body)
            wanted = [str(text) for text in asked["inputIds"]]
            forms = (asked["sourceIdType"], asked["targetIdType"])
        except (msgspec.DecodeError, KeyError, TypeError):
            raise BadQuery("BadRequest", "The request body is malformed.") from None
        if len(wanted) > 1000 or forms != ("restId", "restImmutableEntryId"):
            raise BadQuery("ErrorInvalidRequest", "Only restId to restImmutableEntryId, 1,000 at a time, is simulated.")
        ids = self.tenant.ids(user)
        rows: list[dict[str, Any]] = []
        for text in wanted:
            try:
                number = int.from_bytes(b64decode(text, altchars=b"_-")[-8:-2], "big")
                rows.append({"sourceId": text, "targetId": ids.immutable(number << 16)})
            except ValueError:
                detail = {"code": "ErrorInvalidIdMalformed", "message": "Id is malformed."}
                rows.append({"sourceId": text, "targetId": None, "errorDetails": detail})
        return data({"@odata.context": _context(call, "Collection(convertIdResult)"), "value": rows}, len(rows))


def _refuse_unknown(options: Options, known: frozenset[str]) -> None:
    for name in options.values:
        if name not in known:
            raise BadQuery("RequestBroker--ParseUri", f"The query option '{name}' is not supported here.")


def _context(call: Call, what: str) -> str:
    return f"{call.base}/v1.0/$metadata#{what}"


def _page(
    call: Call,
    path: str,
    context: str,
    rows: list[dict[str, Any]],
    position: int,
    size: int,
    total: int,
    on_the_wire: Callable[[int], int],
) -> Answer:
    """A page and the link to the next one, bent where a fault of the paging kind strikes (F7-F9)."""
    rule = call.fault
    variant = f"{rule.kind} {rule.variant}" if rule else ""
    document: dict[str, Any] = {"@odata.context": _context(call, context)}
    if call.options.flag("$count"):
        document["@odata.count"] = total
    after = position + size
    if variant == "F7 empty_value":
        return data({**document, "value": []}, 0)
    if rule and after < total:
        if variant == "F9 duplicate":
            after = max(position + 1, after - rule.rows)
        elif variant == "F9 moved" and size > 1:
            rows, after = rows[:-1], after - 1
        elif variant == "F8 repeat":
            after = position
        elif variant == "F8 previous":
            after = max(0, position - size)
        elif variant == "F8 missing":
            after = total
    document["value"] = rows
    if after < total:
        values = {**call.options.values, "$skip": str(on_the_wire(after))}
        document["@odata.nextLink"] = query.link(f"{call.base}/v1.0", path, values, call.sign)
    return data(document, len(rows))
