"""The evaluation report as one HTML page that needs no other file: images inside, no script, no link.

html = format_html(summary, {"Training curves": png}, flags_text="--epochs=20\n...")
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from html import escape
from typing import Any

from voc_tfdata.evaluation.summary import describe_mean, format_value

_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Noto Sans CJK SC", sans-serif;
  color: #1c1c1c; background: #fff; max-width: 1080px; margin: 0 auto; padding: 24px 20px 60px; }
h1 { font-size: 26px; margin: 0 0 2px; } h2 { font-size: 19px; margin: 38px 0 10px; }
.sub { color: #5c5c5c; margin: 0 0 20px; }
.warning { border-left: 5px solid #c4161c; background: #fdecec; padding: 10px 14px; margin: 8px 0; }
.warning::first-letter { text-transform: uppercase; }
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
@media (max-width: 760px) { td.bar, th.bar { display: none; } th, td { padding: 4px 5px; } }
"""


def format_html(summary: Mapping[str, Any], pictures: Mapping[str, bytes], *, flags_text: str = "") -> str:
    """Returns the page as text, to be written as UTF-8.

    Args:
      summary: of summary.summarize_predictions.
      images: heading -> PNG bytes, in the order of the page.
      flags_text: the resolved flags of the run, one a line; "" leaves the section out.
    """
    title = f"Evaluation on {escape(summary['split'])}"
    sections = "".join(
        f'<h2>{escape(heading)}</h2>\n<img alt="{escape(heading)}" src="data:image/png;base64,{_base64(png)}">\n'
        for heading, png in pictures.items()
    )
    flags = f"<h2>Flags</h2>\n<pre>{escape(flags_text.strip())}</pre>\n" if flags_text.strip() else ""
    warnings = "".join(f'<p class="warning">{escape(sentence)}</p>\n' for sentence in summary["warnings"])
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n"
        f'<p class="sub">{summary["num_examples"]:,} images, {len(summary["ap"])} classes</p>\n'
        f"{warnings}{_tiles(summary)}<h2>Average precision by class ({escape(summary['protocol'])})</h2>\n"
        f"{_class_table(summary)}{sections}{flags}</body>\n</html>\n"
    )


def _tiles(summary: Mapping[str, Any]) -> str:
    trivial = summary["baselines"]
    tiles = [
        (
            "head",
            f"mAP, {summary['protocol']}, {describe_mean(summary)}",
            format_value(summary["mAP"]),
            f"random scores: {format_value(trivial['chance_mAP'])}",
        ),
        (
            "",
            "loss (binary cross-entropy)",
            format_value(summary["loss"], 4),
            f"class frequencies alone: {format_value(trivial['constant_prior_loss'], 4)}",
        ),
        (
            "",
            "binary accuracy",
            format_value(summary["binary_accuracy"], 4),
            f"all absent: {format_value(trivial['all_negative_binary_accuracy'], 4)}",
        ),
    ]
    cells = "".join(
        f'<div class="tile {kind}"><div class="name">{escape(name)}</div><div class="value">{value}</div>'
        f'<div class="beside">{escape(beside)}</div></div>\n'
        for kind, name, value, beside in tiles
    )
    return f'<div class="tiles">\n{cells}</div>\n'


def _class_table(summary: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{summary['positives'][name]:,}</td><td>{summary['ignored'][name]:,}</td>"
        f"{_ap_cells(ap, summary['chance_ap'][name])}</tr>\n"
        for name, ap in summary["ap"].items()
    )
    mean = _ap_cells(summary["mAP"], summary["baselines"]["chance_mAP"])
    return (
        "<table>\n<thead><tr><th>class</th><th>positives</th><th>difficult, ignored</th><th>AP</th>"
        "<th>random scores</th>"
        '<th class="bar">AP 0 to 1; the mark is random scores</th></tr></thead>\n'
        f"<tbody>\n{rows}</tbody>\n"
        f"<tfoot><tr><td>mAP, {describe_mean(summary)}</td><td></td><td></td>{mean}</tr></tfoot>\n</table>\n"
    )


def _ap_cells(ap: float | None, chance: float | None) -> str:
    if ap is None or chance is None:
        return '<td class="undefined">undefined</td><td class="undefined">undefined</td><td class="bar"></td>'
    return (
        f'<td>{ap:.3f}</td><td>{chance:.3f}</td><td class="bar"><div class="track">'
        f'<div class="fill" style="width:{100 * ap:.1f}%"></div>'
        f'<div class="chance" style="left:{100 * chance:.1f}%"></div></div></td>'
    )


def _base64(png: bytes) -> str:
    return base64.b64encode(png).decode("ascii")
