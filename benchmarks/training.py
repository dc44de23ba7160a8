"""Our training step beside PyTorch's on the same network and batch, in one process, in turn.

    python -m benchmarks.training --image_size=224 --batch_size=16        # on the CPU, or the GPU if there is one

Needs torch (benchmarks/requirements.txt). Prints the median images/s of each and the ratio of the pairs.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from absl import flags

from voc_tfdata.commands.command_line import check_no_arguments, run_command
from voc_tfdata.quiet import quiet_start

_IMAGE_SIZE = flags.DEFINE_integer("image_size", 224, "Side of the images in pixels.", lower_bound=32)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 16, "Images a step.", lower_bound=1)
_STEPS = flags.DEFINE_integer("steps", 3, "Steps a measurement.", lower_bound=1)
_ROUNDS = flags.DEFINE_integer("rounds", 5, "Measurements of each.", lower_bound=1)
_RATE = 1e-3


def main(argv: list[str]) -> None:
    """Measures and prints the table."""
    check_no_arguments(argv)
    with quiet_start():
        import tensorflow as tf
    gpu = bool(tf.config.list_physical_devices("GPU"))
    for device in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(device, True)  # torch needs some of it, too
    print_pairs(compare_steps(_IMAGE_SIZE.value, _BATCH_SIZE.value, _STEPS.value, _ROUNDS.value, gpu=gpu))


def compare_steps(
    image_size: int, batch_size: int, steps: int, rounds: int, *, gpu: bool
) -> dict[str, dict[str, list[float]]]:
    """Returns {precision: {"ours" and "torch": images/s of each round}}; on a GPU both are compiled."""
    rates: dict[str, dict[str, list[float]]] = {}
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (batch_size, image_size, image_size, 3), np.uint8)
    labels = draw.integers(0, 2, (batch_size, 20)).astype(np.float32)
    for precision in ("float32", "mixed_bfloat16"):
        runs = _make_runs(precision, images, labels, gpu=gpu)
        for run in runs.values():
            run(2)  # traces, compiles, warms up
        found: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(rounds):
            for name, run in runs.items():
                start = time.perf_counter()
                run(steps)
                found[name].append(steps * batch_size / (time.perf_counter() - start))
        rates[precision] = found
    return rates


def print_pairs(rates: dict[str, dict[str, list[float]]]) -> None:
    """Prints the medians of compare_steps and the median of the ratios."""
    print(f"{'precision':16} {'ours':>10} {'torch':>10}   ours / torch, images/s")
    for precision, found in rates.items():
        ours, theirs = found["ours"], found["torch"]
        ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
        print(f"{precision:16} {statistics.median(ours):10.1f} {statistics.median(theirs):10.1f}   {ratio:.2f}")


def _make_runs(precision: str, images: Any, labels: Any, *, gpu: bool) -> dict[str, Callable[[int], None]]:
    import tensorflow as tf

    from benchmarks.torch_twin import build_twin, make_twin_step
    from voc_tfdata.model.vgg16 import build_vgg16
    from voc_tfdata.training.optimizers import build_optimizer
    from voc_tfdata.training.train_step import make_train_step

    model = build_vgg16(20, images.shape[1], batch_norm=True, precision=precision)
    optimizer = build_optimizer("sgd", learning_rate=_RATE, variables=model.trainable_variables)
    ours = make_train_step(model, optimizer, tf.distribute.get_strategy(), jit_compile=gpu)
    theirs = make_twin_step(
        build_twin(model),
        learning_rate=_RATE,
        device="cuda" if gpu else "cpu",
        bfloat16=precision == "mixed_bfloat16",
        compiled=gpu,
    )
    batch = tf.constant(images), tf.constant(labels)

    def run_ours(steps: int) -> None:
        for _ in range(steps):
            sums = ours(*batch)
        sums.numpy()  # waits for the device

    def run_theirs(steps: int) -> None:
        for _ in range(steps):
            loss = theirs(images, labels)
        loss.item()

    return {"ours": run_ours, "torch": run_theirs}


if __name__ == "__main__":
    run_command(main)
