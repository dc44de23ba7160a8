"""Trains VGG16 on records of build_tfrecords, keeps the best model, and evaluates it on images it never saw.

    voc_tfdata train --recipe=voc_scratch --records=records/voc2012 --out_dir=runs/voc2012
    voc_tfdata train --records=records/voc2007,records/voc2012 --train_split=train+val,train+val --out_dir=runs/07+12
    voc_tfdata train --flagfile=my.flags --records=s3://bucket/voc2012 --cache_dir=cache --out_dir=runs/a

Several hosts train together when each gets the same command and its own TF_CONFIG; the first one writes --out_dir.
A run that was stopped, in whatever way, goes on where it stopped when the same command is given again.
Evaluation alone: voc_tfdata evaluate, or --eval_only.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags, logging

from voc_tfdata.commands import train_flags as flag
from voc_tfdata.commands.command_line import check_no_arguments, run_command
from voc_tfdata.commands.model_evaluation import evaluate_checkpoint, find_label_counts
from voc_tfdata.commands.recipes import expand_recipe
from voc_tfdata.commands.train_parts import (
    build_learner,
    draw_first_images,
    loop_settings,
    make_batches,
    make_callbacks,
    make_validation,
)
from voc_tfdata.files import write_whole
from voc_tfdata.quiet import quiet_start
from voc_tfdata.records.split_source import SplitSource, count_labels, find_source

if TYPE_CHECKING:
    import tensorflow as tf


def main(argv: list[str]) -> int:
    """Trains and evaluates, or evaluates only."""
    check_no_arguments(argv)
    flag.check_flags()
    test = find_source(flag.RECORDS.value, flag.TEST_SPLIT.value, stream=True)
    if flag.EVAL_ONLY.value:
        checkpoint = flag.CHECKPOINT.value or str(Path(flag.OUT_DIR.value) / "best.keras")
        _evaluate(checkpoint, Path(flag.OUT_DIR.value) / f"evaluation_{test.name}")
        return 0
    train_source = find_source(flag.RECORDS.value, flag.TRAIN_SPLIT.value, stream=True)
    val = find_source(flag.RECORDS.value, flag.VAL_SPLIT.value, stream=True)
    _check_sources(train_source, val, test)
    with quiet_start():  # TensorFlow takes seconds to load: only now, when the flags are known to be right
        import tensorflow as tf

        from voc_tfdata.training import devices, hosts
        from voc_tfdata.training.run_folder import lock_folder
        from voc_tfdata.training.stopping import TrainingStopped
    tf.get_logger().setLevel("WARNING")  # with several devices it tells of every reduction
    if flag.DETERMINISTIC.value:
        tf.config.experimental.enable_op_determinism()
    # First of all: nothing may touch a device before, so remote records are mirrored after it.
    strategy = devices.choose_strategy(flag.STRATEGY.value, start_timeout_s=flag.START_TIMEOUT.value)
    devices.tell_unused_gpu()
    lock = lock_folder(flag.OUT_DIR.value) if hosts.is_chief(strategy) else contextlib.nullcontext()
    with lock, hosts.report_lost_hosts(strategy):
        try:
            _train(strategy, train_source)
        except TrainingStopped as err:
            print(f"stopped by {signal.Signals(err.signal_number).name}: {err}", file=sys.stderr)
            return 128 + err.signal_number
        if hosts.is_chief(strategy):
            _evaluate(str(Path(flag.OUT_DIR.value) / "best.keras"), Path(flag.OUT_DIR.value))
        hosts.broadcast("done", strategy)  # the others stay until then: one that ends takes all with it
    return 0


def run() -> None:
    """The command, with the flags of this process."""
    sys.argv[1:] = expand_recipe(sys.argv[1:])
    run_command(main, flags_of=[flag.__name__])


def _train(strategy: tf.distribute.Strategy, source: SplitSource) -> None:
    from voc_tfdata.training import hosts
    from voc_tfdata.training.loop import refuse_finished, train
    from voc_tfdata.training.optimizers import learning_rate_at
    from voc_tfdata.training.run_folder import FLAGS_NAME, prepare_folder
    from voc_tfdata.training.stopping import stop_on_signals

    identity = _resolve_flags(strategy, source)
    _tell_changes()
    settings, out_dir = loop_settings(strategy, source), Path(flag.OUT_DIR.value)
    check = partial(refuse_finished, settings=settings, out_dir=out_dir)
    prepare_folder(out_dir, identity, strategy, check=check, resume=flag.RESUME.value)
    learner = build_learner(strategy, source)
    callbacks = make_callbacks() if hosts.is_chief(strategy) else []
    if hosts.is_chief(strategy):  # when all that can be wrong with the flags has been found
        write_whole(out_dir / FLAGS_NAME, flag.format_flags())
    if hosts.is_chief(strategy) and not (out_dir / "batch.png").exists():
        write_whole(out_dir / "batch.png", draw_first_images())
    logging.info(
        "%d images, %d steps per epoch; %s; devices: %d, hosts: %d",
        source.num_examples,
        settings.steps_per_epoch,
        flag.PRECISION.value,
        strategy.num_replicas_in_sync,
        learner.num_hosts,
    )
    total_steps = min(settings.steps_per_epoch * settings.epochs, settings.max_steps or sys.maxsize)
    if flag.WARMUP_STEPS.value >= total_steps:
        logging.warning(
            "--warmup_steps=%d, and the run has %d steps: it ends before the rate has risen to --learning_rate=%g",
            flag.WARMUP_STEPS.value,
            total_steps,
            flag.LEARNING_RATE.value,
        )
    learner.model.summary(print_fn=logging.info, line_length=100)
    rate = partial(
        learning_rate_at,
        peak=flag.LEARNING_RATE.value,
        warmup_steps=flag.WARMUP_STEPS.value,
        total_steps=total_steps,
        cosine_decay=flag.COSINE_DECAY.value,
    )
    with stop_on_signals() as stop:
        train(
            learner,
            settings,
            make_batches=partial(make_batches, strategy),
            validate=make_validation(learner),
            learning_rate=rate,
            out_dir=out_dir,
            identity=identity,
            stop=stop,
            callbacks=callbacks,
        )


def _resolve_flags(strategy: tf.distribute.Strategy, source: SplitSource) -> dict[str, object]:
    """Sets the flags that this machine decides and returns what makes the run this one and no other.

    Raises:
      ValueError: the batch cannot be split over the devices, or XLA cannot compile for them.
    """
    from voc_tfdata.training import devices, hosts

    replicas, num_hosts = strategy.num_replicas_in_sync, hosts.count_hosts(strategy)
    batch_size = flag.BATCH_SIZE.value
    if batch_size < replicas:
        raise ValueError(f"--batch_size={batch_size} for {replicas} devices; each needs an image at least")
    if num_hosts > 1 and batch_size % replicas:
        raise ValueError(
            f"--batch_size={batch_size} over {num_hosts} hosts with {replicas} devices in all; it must be a "
            f"multiple of {replicas}"
        )
    several = "multi_worker" if num_hosts > 1 else "mirrored"
    flags.FLAGS["strategy"].value = several if replicas > 1 else "none"
    flags.FLAGS["precision"].value = devices.choose_precision(flag.PRECISION.value)
    flags.FLAGS["jit_compile"].value = devices.choose_jit_compile(
        flag.JIT_COMPILE.value, strategy, deterministic=flag.DETERMINISTIC.value
    )
    identity = flag.list_identity()
    identity |= {"records": source.checksum, "classes": ", ".join(source.classes), "devices": replicas}
    if flag.AUGMENT.value == "crop":
        identity["cache"] = flag.CACHE.value  # windows out of stored images are other windows
    if num_hosts > 1:
        identity["hosts"] = num_hosts
    return identity


def _tell_changes() -> None:
    """Logs which flags differ from those that the run in out_dir was started with."""
    text = Path(flag.OUT_DIR.value) / "flags.txt"
    if flag.RESUME.value and text.is_file() and (text.parent / "state.npz").exists():
        for change in flag.list_changes(text.read_text(encoding="utf-8")):
            logging.warning("goes on with another flag than before: %s", change)


def _evaluate(checkpoint: str, out_dir: Path) -> None:
    evaluate_checkpoint(
        checkpoint,
        flag.RECORDS.value,
        out_dir,
        split=flag.TEST_SPLIT.value,
        train_counts=find_label_counts(flag.RECORDS.value, flag.TRAIN_SPLIT.value, difficult=flag.DIFFICULT.value),
        difficult=flag.DIFFICULT.value,
        definition=flag.DEFINITION.value,
        batch_size=flag.BATCH_SIZE.value,
        cache_dir=flag.CACHE_DIR.value,
        flags_text="" if flag.EVAL_ONLY.value else flag.format_flags(),
        overwrite=not flag.EVAL_ONLY.value,
    )


def _check_sources(train: SplitSource, val: SplitSource, test: SplitSource) -> None:
    """Warns if something is trained on and evaluated on.

    Raises:
      ValueError: the validation split cannot be judged by the monitor.
    """
    trained = {(folder, split.ids_file) for folder, split in train.parts}
    judged = {(folder, split.ids_file) for source in (val, test) for folder, split in source.parts}
    for folder, file in sorted(trained & judged):
        name = f"{folder}/{file.removeprefix('voc-').removesuffix('-ids.txt')}"
        logging.warning("split %s is trained on and evaluated on: the results do not tell how good the model is", name)
    if flag.MONITOR.value == "val_mAP" and not count_labels(val)[0].any():
        raise ValueError(f"--monitor=val_mAP: no class has a positive in split {flag.VAL_SPLIT.value}; take val_loss")
