"""The evaluation report as one HTML page that needs no other file.

html = format_html(summary, {"Training curves": png}, flags_text="--epochs=20\n...")
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from voc_tfdata.evaluation.summary import describe_mean, format_value
from voc_tfdata.page import format_image, format_page, format_tiles


def format_html(summary: Mapping[str, Any], pictures: Mapping[str, bytes], *, flags_text: str = "") -> str:
    """Returns the page as text, to be written as UTF-8.

    Args:
      summary: of summary.summarize_predictions.
      images: heading -> PNG bytes, in the order of the page.
      flags_text: the resolved flags of the run, one a line; "" leaves the section out.
    """
    sections = "".join(
        f"<h2>{escape(heading)}</h2>\n{format_image(png, 'png', heading)}\n" for heading, png in pictures.items()
    )
    flags = f"<h2>Flags</h2>\n<pre>{escape(flags_text.strip())}</pre>\n" if flags_text.strip() else ""
    warnings = "".join(f'<p class="warning">{escape(sentence)}</p>\n' for sentence in summary["warnings"])
    return format_page(
        f"Evaluation on {summary['split']}",
        f"{summary['num_examples']:,} images, {len(summary['ap'])} classes",
        f"{warnings}{_tiles(summary)}<h2>Average precision by class ({escape(summary['protocol'])})</h2>\n"
        f"{_class_table(summary)}{sections}{flags}",
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
    return format_tiles(tiles)


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
