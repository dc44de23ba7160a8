"""The evaluation report as one HTML page that needs no other file.

html = format_html(summary, {"Training curves": [("loss", png)]}, flags_text="--epochs=20\n...")
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from voc_tfdata.evaluation.summary import describe_mean, format_value
from voc_tfdata.page import format_image, format_page, format_tiles

_MAX_PAIRS = 40  # of classes taken for one another


def format_html(
    summary: Mapping[str, Any],
    pictures: Mapping[str, Sequence[tuple[str, bytes]]],
    *,
    facts: Mapping[str, str] | None = None,
    flags_text: str = "",
) -> str:
    """Returns the page as text, to be written as UTF-8.

    Args:
      summary: of summary.summarize_predictions.
      pictures: heading -> (text, PNG bytes) of each image, in the order of the page; several stand side by side.
      facts: name -> value of what was evaluated (data set, model, date ...), shown first.
      flags_text: the resolved flags of the run, one a line; "" leaves the section out.
    """
    sections = "".join(_section(heading, images) for heading, images in pictures.items())
    rows = [f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>\n" for name, value in (facts or {}).items()]
    head = (
        f'<div class="scroll"><table class="facts">\n<tbody>\n{"".join(rows)}</tbody>\n</table></div>\n' if rows else ""
    )
    flags = f"<h2>Flags</h2>\n<pre>{escape(flags_text.strip())}</pre>\n" if flags_text.strip() else ""
    warnings = "".join(f'<p class="warning">{escape(sentence)}</p>\n' for sentence in summary["warnings"])
    return format_page(
        f"Evaluation on {summary['split']}",
        f"{summary['num_examples']:,} images, {len(summary['ap'])} classes",
        f"{warnings}{_tiles(summary)}{head}<h2>Average precision by class ({escape(summary['protocol'])})</h2>\n"
        f"{_class_table(summary)}{sections}{_confusions(summary)}{flags}",
    )


def _section(heading: str, images: Sequence[tuple[str, bytes]]) -> str:
    figures = "".join(f"<figure>{format_image(png, 'png', text)}</figure>\n" for text, png in images)
    inside = f'<div class="panels">\n{figures}</div>\n' if len(images) > 1 else figures
    return f"<h2>{escape(heading)}</h2>\n{inside}"


def _tiles(summary: Mapping[str, Any]) -> str:
    trivial = summary["baselines"]
    low, high = summary["mAP_interval"]
    tiles = [
        (
            "head",
            f"mAP, {summary['protocol']}, {describe_mean(summary)}",
            format_value(summary["mAP"]),
            f"random scores: {format_value(trivial['chance_mAP'])}; 95 % of resampled splits of these "
            f"{summary['num_examples']:,} images: {format_value(low)} to {format_value(high)}",
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
        (
            "",
            "expected calibration error",
            format_value(summary["calibration_error"]),
            "how far probabilities are from the share that is there",
        ),
    ]
    return format_tiles(tiles)


def _class_table(summary: Mapping[str, Any]) -> str:
    def decisions(name: str) -> str:
        fields = ("precision", "recall", "best_f1", "best_threshold", "class_calibration_error")
        values = (summary[field][name] for field in fields)
        return "".join("<td>–</td>" if value is None else f"<td>{value:.2f}</td>" for value in values)

    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{summary['positives'][name]:,}</td><td>{summary['ignored'][name]:,}</td>"
        f"{_ap_cells(ap, summary['chance_ap'][name], decisions(name))}</tr>\n"
        for name, ap in summary["ap"].items()
    )
    mean = _ap_cells(summary["mAP"], summary["baselines"]["chance_mAP"], "<td></td>" * 5)
    return (
        '<div class="scroll"><table class="sortable">\n'
        "<thead><tr><th>class</th><th>positives</th><th>difficult, ignored</th><th>AP</th>"
        "<th>random scores</th><th>precision at 0.5</th><th>recall at 0.5</th><th>best F1</th><th>at threshold</th>"
        '<th>calibration error</th><th class="bar">AP 0 to 1; the mark is random scores</th></tr></thead>\n'
        f"<tbody>\n{rows}</tbody>\n"
        f"<tfoot><tr><td>mAP, {describe_mean(summary)}</td><td></td><td></td>{mean}</tr></tfoot>\n</table></div>\n"
        '<p class="sub">Click a heading to sort. The thresholds were chosen on these very images: on others F1 will be '
        "somewhat lower.</p>\n"
    )


def _confusions(summary: Mapping[str, Any]) -> str:
    """What was seen in images that do not show it, by what they show: the most frequent pairs."""
    pairs = [
        (count, shown, predicted) for shown, row in summary["false_alarms"].items() for predicted, count in row.items()
    ]
    if not pairs:
        return ""
    pairs.sort(key=lambda pair: (-pair[0], pair[1:]))
    rows = "".join(
        f"<tr><td>{escape(shown)}</td><td>{escape(predicted)}</td><td>{count:,}</td>"
        f"<td>{count / summary['positives'][shown]:.0%}</td></tr>\n"
        for count, shown, predicted in pairs[:_MAX_PAIRS]
    )
    more = f'<p class="sub">And {len(pairs) - _MAX_PAIRS:,} more.</p>\n' if len(pairs) > _MAX_PAIRS else ""
    return (
        "<h2>What is taken for what</h2>\n"
        '<p class="sub">Images that show one class and in which another, that is not there, got more than 0.5.</p>\n'
        '<div class="scroll"><table class="sortable">\n<thead><tr><th>the image shows</th><th>predicted</th>'
        f"<th>images</th><th>of those that show it</th></tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n{more}"
    )


def _ap_cells(ap: float | None, chance: float | None, more: str) -> str:
    """AP and chance, the cells between, and the bar."""
    if ap is None or chance is None:
        return f'<td class="undefined">undefined</td><td class="undefined">undefined</td>{more}<td class="bar"></td>'
    return (
        f'<td>{ap:.3f}</td><td>{chance:.3f}</td>{more}<td class="bar"><div class="track">'
        f'<div class="fill" style="width:{100 * ap:.1f}%"></div>'
        f'<div class="chance" style="left:{100 * chance:.1f}%"></div></div></td>'
    )
