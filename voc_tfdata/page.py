"""One HTML page that needs no other file: images inside, no link; a few lines of script sort its tables.

html = format_page("Data set card", "3 images", body)
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from html import escape

_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Noto Sans CJK SC", sans-serif;
  color: #1c1c1c; background: #fff; max-width: 1080px; margin: 0 auto; padding: 24px 20px 60px; }
h1 { font-size: 26px; margin: 0 0 2px; } h2 { font-size: 19px; margin: 38px 0 10px; }
.sub { color: #5c5c5c; margin: 0 0 20px; }
.warning { border-left: 5px solid #c4161c; background: #fdecec; padding: 10px 14px; margin: 8px 0; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(220px, 1fr)); gap: 14px; margin: 18px 0; }
.tile { border: 1px solid #d8d8d8; border-radius: 8px; padding: 12px 16px; }
.tile .name { color: #5c5c5c; font-size: 14px; }
.tile .value { font-size: 30px; font-weight: 600; font-variant-numeric: tabular-nums; }
.tile .beside { font-size: 14px; color: #5c5c5c; }
.tile.head { border-color: #1f6fb4; background: #f1f7fc; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 4px 10px; border-bottom: 1px solid #e6e6e6; }
th { font-size: 14px; color: #5c5c5c; } th:first-child, td:first-child { text-align: left; }
td.bar, th.bar { width: 34%; text-align: left; }
tfoot td { font-weight: 600; border-top: 2px solid #9a9a9a; }
.track { position: relative; background: #eeeeee; height: 12px; border-radius: 3px; }
.fill { background: #1f6fb4; height: 12px; border-radius: 3px; }
.chance { position: absolute; top: -2px; width: 2px; height: 16px; background: #1c1c1c; }
.undefined { color: #8a8a8a; font-style: italic; }
img { max-width: 100%; height: auto; display: block; }
pre { background: #f5f5f5; padding: 12px 14px; overflow-x: auto; font-size: 13.5px; }
.scroll { overflow-x: auto; }
.facts td { text-align: left; overflow-wrap: anywhere; } .facts td:first-child { color: #5c5c5c; width: 180px; }
.sortable th { cursor: pointer; } .sortable th[aria-sort]::after { content: " \25BE"; }
.sortable th[aria-sort="ascending"]::after { content: " \25B4"; }
.panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(330px, 1fr)); gap: 10px; }
.panels figure { margin: 0; } .panels img { width: 100%; }
.images { display: grid; grid-template-columns: repeat(auto-fill, minmax(190px, 1fr)); gap: 10px; }
.images img { width: 100%; }
@media (max-width: 760px) { td.bar, th.bar { display: none; } th, td { padding: 4px 5px; } }
"""

# Sorts a table of the class "sortable" by the column whose heading is clicked: numbers from the largest, names from A.
_SORT = """
document.querySelectorAll("table.sortable").forEach(table => table.querySelectorAll("thead th").forEach((head, k) => {
  if (head.classList.contains("bar")) return;
  head.addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") ? head.getAttribute("aria-sort") === "ascending" : k > 0;
    table.querySelectorAll("th").forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = row => { const text = row.cells[k].textContent.replaceAll(",", ""), n = parseFloat(text);
      return isNaN(n) ? text : n; };
    const order = (a, b) => typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0) : typeof a === "number" ? 1 : -1;
    const body = table.tBodies[0];
    [...body.rows].sort((a, b) => order(key(a), key(b)) * (down ? -1 : 1)).forEach(row => body.appendChild(row));
  });
}));
"""


def format_page(title: str, subtitle: str, body: str) -> str:
    """Returns the page as text, to be written as UTF-8.

    Args:
      title: plain text, as the subtitle; both are escaped here.
      subtitle: a line below.
      body: HTML.
    """
    script = f"<script>{_SORT}</script>\n" if 'class="sortable"' in body else ""
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n"
        f'<p class="sub">{escape(subtitle)}</p>\n{body}{script}</body>\n</html>\n'
    )


def format_tiles(tiles: Iterable[tuple[str, str, str, str]]) -> str:
    """Returns boxes of (kind: "" or "head", name, value, what stands beside it); all but kind are escaped here."""
    cells = "".join(
        f'<div class="tile {kind}"><div class="name">{escape(name)}</div><div class="value">{escape(value)}</div>'
        f'<div class="beside">{escape(beside)}</div></div>\n'
        for kind, name, value, beside in tiles
    )
    return f'<div class="tiles">\n{cells}</div>\n'


def format_image(data: bytes, kind: str, text: str) -> str:
    """Returns an image inside the page; kind is "png" or "jpeg", text what is read where it cannot be shown."""
    return f'<img alt="{escape(text)}" src="data:image/{kind};base64,{base64.b64encode(data).decode("ascii")}">'
