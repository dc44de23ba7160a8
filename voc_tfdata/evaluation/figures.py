"""Training and precision-recall curves as PNG bytes. matplotlib's object interface only; pyplot is never touched.

    png = draw_curves({"loss": [0.31, 0.24], "val_loss": [0.30, 0.26]})
    png = draw_precision_recall(y_true, y_score, class_names)

Names are drawn as they are: a "$" starts no formula, long ones are cut, CJK ones use an installed CJK font.
"""

from __future__ import annotations

import io
import math
import unicodedata
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from voc_tfdata.evaluation.average_precision import MeanAveragePrecision, mean_average_precision, precision_recall

MAX_PANELS = 100  # precision-recall panels in one PNG
DPI = 110
BLUE, ORANGE, GREEN, RED, GREY = "#1f6fb4", "#c2570c", "#1a7f37", "#c4161c", "#6b6b6b"
_CJK_FONTS = ("Noto Sans CJK SC", "Noto Sans CJK JP", "WenQuanYi Zen Hei", "Microsoft YaHei", "PingFang SC")
_CURVES = (
    ("loss", "loss (binary cross-entropy)", min, "constant_prior_loss", "class frequencies alone"),
    ("binary_accuracy", "binary accuracy", max, "all_negative_binary_accuracy", "all absent"),
    ("mAP", "mAP", max, "chance_mAP", "chance"),
    ("learning_rate", "learning rate", None, "", ""),
)


def draw_curves(
    history: Mapping[str, Sequence[float | None]], baselines: Mapping[str, float | None] | None = None
) -> bytes:
    """Returns a PNG of loss, binary accuracy, mAP and learning rate, as far as given, train beside validation.

    A dot marks the best validation value. The loss axis is logarithmic where the values span more than 1:30.

    Args:
      history: name -> one value per epoch, as keras.callbacks.History.history: "loss", "val_loss", "binary_accuracy",
        "val_binary_accuracy", "mAP", "val_mAP", "learning_rate"; other names are left out, None and NaN leave a gap.
      baselines: "constant_prior_loss", "all_negative_binary_accuracy" and "chance_mAP": dashed lines.

    Raises:
      ValueError: history has none of these names, or no epoch.
    """
    panels = _panels_of(history)
    if not panels:
        names = ", ".join(f"{curve[0]}, val_{curve[0]}" for curve in _CURVES)
        raise ValueError(f"history has no epoch of {names}; it has: {', '.join(history) or 'nothing'}")
    figure = Figure(figsize=(4.9 * len(panels), 3.9), dpi=DPI, layout="constrained")
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _draw_panel(axes, history, baselines or {}, panel)
    return png_of(figure)


def draw_curve_panels(
    history: Mapping[str, Sequence[float | None]], baselines: Mapping[str, float | None] | None = None
) -> list[tuple[str, bytes]]:
    """Returns (title, PNG) of each panel of draw_curves, which see: readable one by one on a narrow screen."""
    panels = []
    for panel in _panels_of(history):
        figure = Figure(figsize=(4.6, 3.4), dpi=DPI, layout="constrained")
        _draw_panel(figure.subplots(), history, baselines or {}, panel)
        panels.append((panel[1], png_of(figure)))
    return panels


def draw_calibration(
    predicted: Sequence[float | None], observed: Sequence[float | None], counts: Sequence[int]
) -> bytes:
    """Returns a PNG of the reliability curve: the share of labels that are 1 over the predicted probability.

    Args:
      predicted: mean probability of each bin; NaN or None in an empty one.
      observed: share of labels that are 1 there.
      counts: cells in each bin, drawn as the size of the dots.
    """
    figure = Figure(figsize=(4.6, 3.8), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    x, y = np.array(_as_floats(predicted)), np.array(_as_floats(observed))
    some = np.array(counts) > 0
    sizes = 20 + 180 * np.sqrt(np.array(counts)[some] / max(1, max(counts, default=1)))
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="calibrated")
    axes.plot(x[some], y[some], color=BLUE, linewidth=1)
    axes.scatter(x[some], y[some], sizes, color=BLUE, alpha=0.6, label="this model (size: how many)")
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="predicted probability", ylabel="share that is there")
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.legend(fontsize=9, loc="upper left", framealpha=0.85)
    return png_of(figure)


def _panels_of(history: Mapping[str, Sequence[float | None]]) -> list[tuple[str, str, Any, str, str]]:
    panels = [curve for curve in _CURVES if history.get(curve[0]) or history.get(f"val_{curve[0]}")]
    return panels if len(panels) > 1 or (panels and panels[0][0] != "learning_rate") else []


def _draw_panel(
    axes: Axes,
    history: Mapping[str, Sequence[float | None]],
    baselines: Mapping[str, float | None],
    panel: tuple[str, str, Any, str, str],
) -> None:
    name, title, best, baseline, baseline_text = panel
    _draw_one_curve(axes, _as_floats(history.get(name)), _as_floats(history.get(f"val_{name}")), best)
    level = baselines.get(baseline)
    if level is not None and math.isfinite(level):
        axes.axhline(level, color=GREY, linestyle="--", linewidth=1, label=f"{baseline_text}: {level:.3f}")
    axes.set_title(title, fontsize=11)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.margins(y=0.12)
    axes.legend(fontsize=8, framealpha=0.85)


def draw_precision_recall(
    y_true: npt.ArrayLike, y_score: npt.ArrayLike, class_names: Sequence[str], *, definition: str = "voc2010"
) -> bytes:
    """Returns a PNG with one precision-recall panel a class, its AP in the title.

    Thin line: the measured curve. Filled: what the definition counts, for voc2007 and voc2010 the highest precision
    at this recall or beyond. Dashed: the share of positives, which is the precision of random scores. Of more than
    100 classes the first 100 are drawn.

    Args:
      y_true: [N, C] of 1, 0 and -1.
      y_score: [N, C].
      class_names: C names.
      definition: "voc2007", "voc2010" or "step".

    Raises:
      ValueError: as mean_average_precision.
    """
    result = mean_average_precision(y_true, y_score, definition=definition, class_names=class_names)
    labels, scores = np.asarray(y_true), np.asarray(y_score)
    count = min(len(result.ap), MAX_PANELS)
    columns = min(5, count)
    rows = math.ceil(count / columns)
    width, height = max(2.45 * columns, 4.6), 2.15 * rows + 0.75  # inches
    figure = Figure(figsize=(width, height), dpi=DPI)
    figure.subplots_adjust(
        left=0.62 / width,
        right=1 - 0.2 / width,
        bottom=0.55 / height,
        top=1 - 0.8 / height,
        wspace=0.16,
        hspace=0.36,
    )
    for c in range(count):
        axes = figure.add_subplot(rows, columns, c + 1)  # axes that share their limits take quadratic time
        _draw_one_class(axes, labels[:, c], scores[:, c], result, c)
        axes.tick_params(labelsize=7, labelleft=c % columns == 0, labelbottom=c + columns >= count)
    of_classes = f"{count} of {len(result.ap)} classes" if count < len(result.ap) else f"{count} classes"
    figure.suptitle(f"precision over recall, {of_classes}, AP by {definition}", fontsize=11, y=1 - 0.16 / height)
    figure.supxlabel("recall", fontsize=9, y=0.08 / height)
    figure.supylabel("precision", fontsize=9, x=0.1 / width)
    return png_of(figure)


def png_of(figure: Figure) -> bytes:
    """Returns the figure as PNG."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():  # a character no installed font has is drawn as a box
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()


def font_families() -> list[str]:
    """Returns matplotlib's own font and, after it, the first CJK font that is installed."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return ["DejaVu Sans", *[name for name in _CJK_FONTS if name in installed][:1]]


def cut_text(text: str, width: int) -> str:
    """Returns the text, cut to about `width` Latin letters; a CJK character is as wide as two."""
    text = "".join(c if c.isprintable() else "?" for c in text)
    widths = np.cumsum([2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text])
    return text if not text or widths[-1] <= width else text[: int(np.sum(widths < width))] + "…"


def _draw_one_curve(axes: Axes, train: list[float], val: list[float], best: Any) -> None:
    for values, colour, label in ((train, BLUE, "train"), (val, ORANGE, "validation")):
        if values:
            axes.plot(range(1, len(values) + 1), values, color=colour, marker=".", markersize=4, label=label)
    finite = [value for value in val if math.isfinite(value)]
    if finite and best:
        epoch = val.index(best(finite)) + 1
        label = f"best validation: {best(finite):.3f} (epoch {epoch})"
        axes.plot([epoch], [best(finite)], "o", color=ORANGE, markersize=8, fillstyle="none", label=label)
    shown = [value for value in train + val if math.isfinite(value)]
    if shown and min(shown) > 0 and max(shown) > 30 * min(shown):
        axes.set_yscale("log")


def _draw_one_class(
    axes: Axes, labels: npt.NDArray[Any], scores: npt.NDArray[Any], result: MeanAveragePrecision, c: int
) -> None:
    precision, recall = precision_recall(labels, scores)
    name = cut_text(result.class_names[c], 20)
    title = f"{name}  undefined" if math.isnan(result.ap[c]) else f"{name}  {result.ap[c]:.3f}"
    axes.set_title(title, fontsize=8.5, pad=3, parse_math=False, family=font_families())
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.05), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
    axes.grid(color="#e4e4e4", linewidth=0.5)
    if not precision.size:
        axes.text(0.5, 0.5, "no positive", ha="center", va="center", fontsize=8, color=GREY)
        return
    axes.axhline(float(np.mean(labels[labels != -1] == 1)), color=GREY, linestyle="--", linewidth=0.8)
    recall, precision = np.append(0, recall), np.append(precision[0], precision)
    counted = precision if result.definition == "step" else np.maximum.accumulate(precision[::-1])[::-1]
    axes.fill_between(recall, counted, step="pre", color=BLUE, alpha=0.18, linewidth=0)
    axes.plot(recall, precision, color=BLUE, linewidth=1)


def _as_floats(values: Iterable[float | None] | None) -> list[float]:
    return [math.nan if value is None else float(value) for value in values or ()]
