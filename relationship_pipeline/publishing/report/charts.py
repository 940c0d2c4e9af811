"""Charts of the report as inline SVG, drawn by pygal: no script, no network, a few kilobytes each.

plotly, whose script alone is 4.8 MB a page, was the other choice; a page without any script also cannot run one that an
outsider hid in a name. Colours and fonts come from the page's own stylesheet (`.color-0`, …), dark mode included.
"""

from __future__ import annotations

import calendar
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from markupsafe import Markup

if TYPE_CHECKING:
    import pygal

PHONE = 340
"""Width in pixels of a chart's place on a phone."""


@dataclass(frozen=True)
class Chart:
    """One figure drawn twice, for a desktop and for a phone, so that its text stays readable on both."""

    wide: Markup
    narrow: Markup
    description: str


def stacked_by_month(
    months: Sequence[str], series: Mapping[str, Sequence[int]], description: str, *, width: int
) -> Chart:
    """Stacked bars over months (`YYYY-MM`), one colour a series in the order given; `width` of its place, in pixels."""
    pygal = _pygal()

    def draw(narrow: bool) -> Markup:
        size = _size(narrow, PHONE if narrow else width, 220 if narrow else 260)
        chart = pygal.StackedBar(**size, value_formatter=lambda value: f"{value:,.0f}".replace(",", "\u202f"))
        chart.x_labels = [
            calendar.month_abbr[int(month[5:])] if not narrow or at % 3 == len(months) % 3 else ""
            for at, month in enumerate(months)
        ]
        chart.y_labels = ticks(max(map(sum, zip(*series.values(), strict=True)), default=0))
        chart.range = (0, chart.y_labels[-1])
        for name, values in series.items():
            chart.add(name, list(values))
        return _svg(chart, series)

    return Chart(draw(False), draw(True), description)


def stacked_by_kind(
    kinds: Sequence[str], series: Mapping[str, Sequence[int]], description: str, *, width: int
) -> Chart:
    """Horizontal bars, one a kind of record, in parts of 100 % so that kinds of different size can be compared."""
    pygal = _pygal()

    totals = [sum(values[at] for values in series.values()) or 1 for at in range(len(kinds))]

    def draw(narrow: bool) -> Markup:
        height = 54 + (34 if narrow else 40) * len(kinds)
        size = _size(narrow, PHONE if narrow else width, height)
        chart = pygal.HorizontalStackedBar(**size, value_formatter=lambda value: f"{value:.0f} %")
        chart.x_labels = list(kinds)[::-1]  # pygal counts from the bottom
        chart.y_labels = [0, 50, 100]
        chart.range = (0, 100)
        for name, values in series.items():
            chart.add(name, [100 * value / total for value, total in zip(values, totals, strict=True)][::-1])
        return _svg(chart, series)

    return Chart(draw(False), draw(True), description)


def ticks(largest: int) -> list[int]:
    """Three to six round numbers from 0 to the first at or above the largest value: steps of 1, 2 or 5 tens, hundreds, …"""
    step = 1
    while step * 5 < largest:
        step = step * 5 // 2 if str(step)[0] == "2" else step * 2
    return [step * at for at in range(max(2, -(-largest // step)) + 1)]


def sparkline(values: Sequence[int]) -> Markup:
    """A small area chart without axes, on its own scale from zero."""
    pygal = _pygal()

    chart = pygal.Line(
        **_plain(),
        width=180,
        height=36,
        margin=2,
        spacing=0,
        fill=True,
        show_dots=False,
        show_legend=False,
        show_x_labels=False,
        show_y_labels=False,
        range=(0, max([1, *values])),
    )
    chart.add("", list(values))
    return _svg(chart)


def _plain() -> dict[str, Any]:
    """No script, no stylesheet of its own (the page has one for all), no XML header: for a page that inlines it."""
    return {"js": (), "css": (), "no_prefix": True, "disable_xml_declaration": True}


def _size(narrow: bool, width: int, height: int) -> dict[str, Any]:
    from pygal.style import Style

    size = 11 if narrow else 13
    return {
        **_plain(),
        "width": width,
        "height": height,
        "style": Style(label_font_size=size, major_label_font_size=size),
        "show_legend": False,
        "margin": 4,
        "spacing": 6,
        "truncate_label": -1,
    }


def _svg(chart: pygal.graph.graph.Graph, series_names: Iterable[str] = ()) -> Markup:
    """The drawing alone: pygal's own script, styles and hidden notes go, and each bar's value becomes its tooltip."""
    root = chart.render_tree()
    for parent in list(root.iter()):
        for child in list(parent):
            comment = not isinstance(child.tag, str)
            if comment or child.tag in ("defs", "title") or "overlay" in child.get("class", ""):
                parent.remove(child)
    for at, name in enumerate(series_names):
        for series in root.iterfind(f".//g[@class='series serie-{at} color-{at}']"):
            for bar in series.iterfind(".//g[@class='bar']"):
                _make_tooltip(bar, name)
    for parent in list(root.iter()):
        for note in parent.findall("desc"):
            parent.remove(note)
    root.attrib.pop("id", None)
    root.set("aria-hidden", "true")
    return Markup(ElementTree.tostring(root, encoding="unicode"))  # noqa: S704 (text was escaped by ElementTree)


def _make_tooltip(bar: ElementTree.Element, series: str) -> None:
    notes = {note.get("class"): note.text or "" for note in bar.findall("desc")}
    ElementTree.SubElement(bar, "title").text = f"{notes.get('x_label', '')} · {series}: {notes.get('value', '')}"


def _pygal() -> Any:
    """The library, without the import hook that it installs for its map plug-ins: the hook speaks a protocol that Python
    warns about at every later import."""
    import pygal

    sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__name__ != "PluginImportFixer"]
    return pygal
