"""RESULTS.md and results.png from the lines that run_all collected."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

TITLES = {
    "decode": "Original JPEG -> 224x224, shuffled",
    "crop_flip": "Original JPEG -> random resized crop 224x224 + flip, shuffled",
    "store": "Stored pixels -> 224x224, shuffled",
    "store_crop_flip": "Stored pixels -> random crop 224x224 + flip, shuffled",
    "read": "Read only",
}
OURS, OURS_IN_GRAPH = "ours", "ours_in_graph"


@dataclass(frozen=True)
class Target:
    """What is to be reached: images/s in a task, over those of another run, or alone."""

    text: str
    task: str
    over: tuple[str, str] | None  # (module, task); None: images/s
    at_least: float
    by: str = OURS  # the module that is measured


TARGETS = (
    Target("of the libjpeg-turbo + cv2 limit", "decode", ("peers.bare_libjpeg_turbo", "decode"), 0.82),
    Target("x torch DataLoader + cv2", "decode", ("peers.torch_cv2", "decode"), 1.05),
    Target("x NVIDIA DALI on the CPU", "decode", ("peers.dali_cpu", "decode"), 1.4),
    Target("x FFCV jpg", "decode", ("peers.ffcv_loader", "decode"), 1.8),
    Target("x tf.data stream with a buffer of 1,024", "decode", ("peers.tfdata_stream", "decode"), 1.05),
    Target("x torch DataLoader + cv2", "crop_flip", ("peers.torch_cv2", "crop_flip"), 1.2),
    Target("x FFCV raw, both by a Python loop", "store", ("peers.ffcv_loader", "store"), 1.0),
    Target("in a tf.function, x FFCV raw", "store", ("peers.ffcv_loader", "store"), 1.0, by=OURS_IN_GRAPH),
    Target("x raw pixels in TFRecords", "store", ("peers.tfdata_stream", "store"), 8.0),
    Target("images/s", "store_crop_flip", None, 25_000),
    Target("x FFCV raw with its crop and flip", "store_crop_flip", ("peers.ffcv_loader", "store_crop_flip"), 0.8),
    Target("x decode", "read", (OURS, "decode"), 10.0),
)
FIRST_BATCH_S = 1.0  # at most, over an empty data set

Rounds = Mapping[tuple[str, str], Sequence[dict]]  # (module, task) -> its line of each round


def write_results(report: dict, out_dir: Path) -> None:
    """Writes RESULTS.md and results.png into out_dir."""
    rounds: dict[tuple[str, str], list[dict]] = {}
    for line in report["lines"]:
        rounds.setdefault((line["module"], line["task"]), []).append(line)
    draw_chart(rounds, out_dir / "results.png")
    (out_dir / "RESULTS.md").write_text(format_results(report, rounds), encoding="utf-8")


def format_results(report: dict, rounds: Rounds) -> str:
    """Returns the text of RESULTS.md."""
    machine = report["machine"]
    num_rounds = 1 + max(line["round"] for line in report["lines"])
    parts = [
        "# Speed, measured",
        "",
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']}; "
        f"load average {report['load_before']:.2f} before the start; {num_rounds} rounds, "
        f"{report['minutes']:.0f} minutes.",
        "",
        f"    {report['command']}",
        "",
        "images/s: median over the measurements of all rounds. ours/this: median over the rounds of the ratio within "
        "the round. cpu ms: processor time an image, all threads and workers together.",
        "",
        "![images/s](results.png)",
        "",
        "## Targets",
        "",
        *_target_rows(rounds),
        "",
    ]
    for task, title in TITLES.items():
        if rows := _task_rows(rounds, task):
            parts += [f"## {title}", "", *rows, ""]
    parts += ["## Versions", "", *_version_rows(rounds), ""]
    return "\n".join(parts)


def rates_of(rounds: Rounds, module: str, task: str) -> list[float]:
    """Returns images/s of every measurement of one run; empty if it has none."""
    return [rate for line in rounds.get((module, task), ()) for rate in line.get("images_per_s", ())]


def ratio_of(rounds: Rounds, mine: tuple[str, str], other: tuple[str, str]) -> float | None:
    """Returns the median over the rounds of mine over other, or None if one of them was not measured."""
    mine_of, other_of = (
        {line["round"]: line["median"] for line in rounds.get(key, ()) if "median" in line} for key in (mine, other)
    )
    ratios = [mine_of[number] / other_of[number] for number in mine_of if number in other_of]
    return statistics.median(ratios) if ratios else None


def draw_chart(rounds: Rounds, path: Path) -> None:
    """Draws images/s as bars, one panel a task; nothing if there is nothing to draw."""
    tasks = [task for task in TITLES if task != "read" and any(rates_of(rounds, m, t) for m, t in rounds if t == task)]
    if not tasks:
        return
    figure, panels = plt.subplots(
        len(tasks),
        1,
        figsize=(9, sum(1.0 + 0.34 * len(_ranked(rounds, task)) for task in tasks)),
        gridspec_kw={"height_ratios": [1.5 + len(_ranked(rounds, task)) for task in tasks]},
        squeeze=False,
    )
    for task, axes in zip(tasks, panels[:, 0], strict=True):
        ranked = _ranked(rounds, task)[::-1]  # the fastest on top
        rates = [statistics.median(rates_of(rounds, module, task)) for module, _ in ranked]
        colours = ["tab:orange" if module in (OURS, OURS_IN_GRAPH) else "tab:gray" for module, _ in ranked]
        bars = axes.barh([name for _, name in ranked], rates, color=colours)
        axes.bar_label(bars, [f"{rate:,.0f}" for rate in rates], padding=3, fontsize=8)
        axes.set_title(f"{TITLES[task]}, images/s", fontsize=10, loc="left")
        axes.set_xlim(0, 1.15 * max(rates))
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=120, metadata={"Software": None})
    plt.close(figure)


def _ranked(rounds: Rounds, task: str) -> list[tuple[str, str]]:
    """Returns (module, name) of the runs of a task that were measured, fastest first."""
    found = [(m, lines[-1]["name"]) for (m, t), lines in rounds.items() if t == task and rates_of(rounds, m, t)]
    return sorted(found, key=lambda run: -statistics.median(rates_of(rounds, run[0], task)))


def _task_rows(rounds: Rounds, task: str) -> list[str]:
    rows = []
    for module, name in _ranked(rounds, task):
        rates = rates_of(rounds, module, task)
        cpu_ms = statistics.median(line["cpu_ms_per_image"] for line in rounds[module, task] if "median" in line)
        ratio = ratio_of(rounds, (OURS, task), (module, task))
        shown = "" if module == OURS else _shown(ratio, "{:.2f}")
        rows.append(
            f"| {name} | {statistics.median(rates):,.0f} | {min(rates):,.0f} to {max(rates):,.0f} | {shown} "
            f"| {cpu_ms:.3f} |"
        )
    for (_, other), lines in rounds.items():
        errors = [line["error"] for line in lines if "error" in line]
        if other == task and errors:
            rows.append(f"| {lines[-1].get('name') or lines[-1]['module']} | {errors[-1]} | | | |")
    return ["| | images/s | lowest to highest | ours/this | cpu ms |", "|---|---|---|---|---|", *rows] if rows else []


def _target_rows(rounds: Rounds) -> list[str]:
    rows = ["| | at least | measured | |", "|---|---|---|---|"]
    for target in TARGETS:
        if target.over:
            measured, pattern = ratio_of(rounds, (target.by, target.task), target.over), "{:.2f}"
        else:
            rates = rates_of(rounds, target.by, target.task)
            measured, pattern = statistics.median(rates) if rates else None, "{:,.0f}"
        wanted = f"{target.at_least:,.0f}" if target.over is None else f"{target.at_least:g}"
        verdict = _verdict(measured is not None and measured >= target.at_least, measured)
        rows.append(f"| {TITLES[target.task]}: {target.text} | {wanted} | {_shown(measured, pattern)} | {verdict} |")
    for field, store in (("first_s", "records"), ("first_decoded_s", "decoded store")):
        seconds = [line[field] for line in rounds.get((OURS, "first"), ()) if field in line]
        measured = statistics.median(seconds) if seconds else None
        verdict = _verdict(measured is not None and measured < FIRST_BATCH_S, measured)
        rows.append(
            f"| First batch after opening, {store}: seconds more than an empty data set | at most {FIRST_BATCH_S:g} "
            f"| {_shown(measured, '{:.2f}')} | {verdict} |"
        )
    return rows


def _verdict(is_met: bool, measured: float | None) -> str:
    return "not measured" if measured is None else "met" if is_met else "**missed**"


def _shown(value: float | None, pattern: str) -> str:
    return "" if value is None else pattern.format(value)


def _version_rows(rounds: Rounds) -> list[str]:
    versions: dict[str, set[str]] = {}
    for lines in rounds.values():
        for package, version in lines[-1].get("versions", {}).items():
            versions.setdefault(package, set()).add(version)
    return [f"- {package} {', '.join(sorted(found))}" for package, found in sorted(versions.items())]
