"""Trains VGG16 on records of build_tfrecords, keeps the best model, and evaluates it on pictures it never saw.

    python train.py --flagfile=flags/voc2012.flags --records=records/voc2012 --out_dir=runs/voc2012
    python train.py --flagfile=flags/voc2012.flags --records=s3://bucket/voc2012 --cache_dir=cache --out_dir=runs/a

Several hosts train together when each gets the same command and its own TF_CONFIG; the first one writes --out_dir.
A run that was stopped, in whatever way, goes on where it stood when the same command is given again.
Evaluation alone: --eval_only, of out_dir/best.keras or another --checkpoint.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags, logging

from voc_tfdata.commands.command_line import check_no_arguments, run_command
from voc_tfdata.evaluation.baselines import LabelCounts, counts_as_read
from voc_tfdata.evaluation.metrics import DEFINITIONS
from voc_tfdata.evaluation.summary import format_class_table
from voc_tfdata.quiet import quiet_start
from voc_tfdata.records.manifest import Manifest, find_split, read_manifest
from voc_tfdata.records.mirror import localize
from voc_tfdata.records.tfrecord import count_labels
from voc_tfdata.training.cluster import find_cluster
from voc_tfdata.training.monitors import MONITORS

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

_RECORDS = flags.DEFINE_string("records", None, "Folder written by build_tfrecords, or its URI.", required=True)
_OUT_DIR = flags.DEFINE_string("out_dir", None, "Folder for everything this run writes.", required=True)
_TRAIN_SPLIT = flags.DEFINE_string("train_split", "train", "Split to train on; a union: train+val.")
_VAL_SPLIT = flags.DEFINE_string("val_split", "val", "Split that chooses the best epoch.")
_TEST_SPLIT = flags.DEFINE_string("test_split", "test", "Split of the final evaluation.")
_DIFFICULTS = ["positive", "ignore", "negative"]
_DIFFICULT = flags.DEFINE_enum("difficult", "ignore", _DIFFICULTS, "What a class with difficult objects only is.")
_DEFINITION = flags.DEFINE_enum("definition", "voc2010", list(DEFINITIONS), "Definition of average precision.")

_IMAGE_SIZE = flags.DEFINE_integer("image_size", 224, "Side of the pictures in pixels.", lower_bound=32)
_RESIZE = flags.DEFINE_enum("resize", "bilinear", ["bilinear", "antialias", "pad"], "How pictures are resized.")
_AUGMENT = flags.DEFINE_enum("augment", "none", ["none", "flip", "crop"], "Augmentation; crop flips as well.")
_COLOR_JITTER = flags.DEFINE_float("color_jitter", 0.0, "Random changes of brightness, contrast, saturation.", 0.0, 1.0)
_CACHE = flags.DEFINE_enum("cache", "none", ["none", "decoded"], "decoded: keep resized pictures in one file.")
_CACHE_DIR = flags.DEFINE_string(
    "cache_dir", "", "Local folder of that file (default: beside the records), and of the mirror of remote records."
)
_DATA_SERVICE = flags.DEFINE_string(
    "data_service", "", "grpc://host:port of tools/data_service.py, whose workers make the training batches."
)

_WEIGHTS = flags.DEFINE_string("weights", "none", "none, imagenet, or an .h5 file of keras.applications' VGG16.")
_BATCH_NORM = flags.DEFINE_bool("batch_norm", False, "Batch normalisation after convolutions, He initialisation.")
_DROPOUT = flags.DEFINE_float("dropout", 0.0, "Share of the two hidden layers dropped.", 0.0, 0.99)

_BATCH_SIZE = flags.DEFINE_integer("batch_size", 32, "Pictures a step, over all devices of all hosts.", lower_bound=1)
_EPOCHS = flags.DEFINE_integer("epochs", 20, "At most so many.", lower_bound=1)
_MAX_STEPS = flags.DEFINE_integer("max_steps", 0, "At most so many steps in all; 0: no limit.", lower_bound=0)
_PRIOR_BIAS = flags.DEFINE_bool("prior_bias", False, "Let the outputs start at the class frequencies.")
_OPTIMIZER = flags.DEFINE_enum("optimizer", "rmsprop", ["rmsprop", "sgd", "adam", "adamw"], "Optimizer.")
_LEARNING_RATE = flags.DEFINE_float("learning_rate", 1e-3, "Highest learning rate.")
_WARMUP_STEPS = flags.DEFINE_integer("warmup_steps", 0, "Steps in which the rate rises to it.", lower_bound=0)
_COSINE_DECAY = flags.DEFINE_bool("cosine_decay", False, "The rate falls to 0 along a cosine.")
_WEIGHT_DECAY = flags.DEFINE_float("weight_decay", 0.0, "Decoupled weight decay of kernels.", lower_bound=0.0)
_CLIP_NORM = flags.DEFINE_float("clip_norm", 0.0, "Longest gradient; 0: no limit.", lower_bound=0.0)
_POSITIVE_WEIGHT = flags.DEFINE_bool("positive_weight", False, "Weigh 1 labels by their rarity in the class.")
_LABEL_SMOOTHING = flags.DEFINE_float("label_smoothing", 0.0, "Labels become s/2 and 1 - s/2.", 0.0, 0.99)
_MONITOR = flags.DEFINE_enum("monitor", "val_loss", list(MONITORS), "What the best epoch is chosen by.")
_PATIENCE = flags.DEFINE_integer("patience", 4, "Epochs without a better one that end it; 0: never.", lower_bound=0)
_SEED = flags.DEFINE_integer("seed", 0, "Fixes weights, order, augmentation, dropout.", lower_bound=0)

_PRECISIONS = ["auto", "float32", "mixed_bfloat16", "mixed_float16"]
_PRECISION = flags.DEFINE_enum("precision", "auto", _PRECISIONS, "auto: the fastest sound one of this machine.")
_STRATEGIES = ["auto", "none", "mirrored", "multi_worker"]
_STRATEGY = flags.DEFINE_enum(
    "strategy", "auto", _STRATEGIES, "auto: all hosts of the variable TF_CONFIG, without it all GPUs if several."
)
_START_TIMEOUT = flags.DEFINE_float("start_timeout", 300.0, "Seconds to wait for the other hosts of TF_CONFIG.", 1.0)
_JIT_COMPILE = flags.DEFINE_bool(
    "jit_compile", None, "Compile the training step by XLA (default: on one GPU, without --deterministic)."
)
_DETERMINISTIC = flags.DEFINE_bool("deterministic", False, "Deterministic ops: equal runs are equal to the bit.")
_RESUME = flags.DEFINE_bool("resume", True, "Go on with the run in out_dir; false deletes it and starts anew.")
_CHECKPOINT_MINUTES = flags.DEFINE_float(
    "checkpoint_minutes", 10.0, "Save the state so often, after epoch 1, at the end.", 0.0
)
_EVAL_ONLY = flags.DEFINE_bool("eval_only", False, "Evaluate a checkpoint, train nothing.")
_CHECKPOINT = flags.DEFINE_string("checkpoint", "", "Model of --eval_only; default: out_dir/best.keras.")
_TENSORBOARD = flags.DEFINE_bool("tensorboard", True, "Write TensorBoard scalars.")
_PROFILE = flags.DEFINE_bool("profile", False, "Write a TensorBoard profile of ten steps.")

# A run with another value here is another run: it does not go on from the state of this one.
_IDENTITY_FLAGS = (
    "train_split val_split difficult definition image_size resize augment color_jitter weights batch_norm dropout "
    "prior_bias batch_size optimizer monitor seed precision"
).split()
_OUTPUTS = {
    "report.html": "all of it on one page",
    "metrics.json": "mAP, AP of each class, loss, accuracy, baselines",
    "classes.csv": "the table above",
    "curves.png": "loss, accuracy and mAP over the epochs",
    "precision_recall.png": "precision over recall of each class",
    "pictures.png": "pictures with true and predicted labels",
    "predictions.csv": "the probabilities of every picture",
    "best.keras": "the best model, for --eval_only, tools/predict.py, tools/export_model.py",
    "history.csv": "the numbers of every epoch",
    "tensorboard": "the same, for: tensorboard --logdir=",
    "flags.txt": "repeats this run: train.py --flagfile= --out_dir=ANOTHER",
}


def main(argv: list[str]) -> int:
    """Trains and evaluates, or evaluates only."""
    check_no_arguments(argv)
    _check_flags()
    manifest = read_manifest(_RECORDS.value)
    _check_splits(manifest)
    with quiet_start():  # TensorFlow takes seconds to load: only now, when the flags are known to be right
        import tensorflow as tf
    tf.get_logger().setLevel("WARNING")  # with several devices it tells of every reduction
    records_dir = localize(_RECORDS.value, _CACHE_DIR.value)
    best = str(Path(_OUT_DIR.value) / "best.keras")
    if _EVAL_ONLY.value:
        _evaluate(_CHECKPOINT.value or best, manifest, records_dir)
    else:
        _train_and_evaluate(manifest, records_dir, best)
    return 0


def _train_and_evaluate(manifest: Manifest, records_dir: Path, best: str) -> None:
    import tensorflow as tf

    from voc_tfdata.training import devices, hosts

    if _DETERMINISTIC.value:
        tf.config.experimental.enable_op_determinism()
    # First of all: nothing may touch a device before.
    strategy = devices.choose_strategy(_STRATEGY.value, start_timeout_s=_START_TIMEOUT.value)
    with hosts.report_lost_hosts(strategy):
        _train(strategy, manifest, records_dir)
        if hosts.is_chief(strategy):
            _evaluate(best, manifest, records_dir)
        hosts.broadcast("done", strategy)  # the others stay until then: one that ends takes all with it


def _resolve_flags(strategy: tf.distribute.Strategy, manifest: Manifest) -> dict[str, object]:
    """Sets the flags that this machine decides and returns what makes the run this one and no other.

    Raises:
      ValueError: the batch cannot be split over the devices, or XLA cannot compile for them.
    """
    from voc_tfdata.training import devices, hosts

    replicas, num_hosts = strategy.num_replicas_in_sync, hosts.count_hosts(strategy)
    if _BATCH_SIZE.value < replicas:
        raise ValueError(f"--batch_size={_BATCH_SIZE.value} for {replicas} devices; each needs a picture at least")
    if num_hosts > 1 and _BATCH_SIZE.value % replicas:
        raise ValueError(
            f"--batch_size={_BATCH_SIZE.value} over {num_hosts} hosts with {replicas} devices in all; it must be a "
            f"multiple of {replicas}"
        )
    several = "multi_worker" if num_hosts > 1 else "mirrored"
    flags.FLAGS["strategy"].value = several if replicas > 1 else "none"
    flags.FLAGS["precision"].value = devices.choose_precision(_PRECISION.value)
    flags.FLAGS["jit_compile"].value = devices.choose_jit_compile(
        _JIT_COMPILE.value, strategy, deterministic=_DETERMINISTIC.value
    )
    identity = {name: flags.FLAGS[name].value for name in _IDENTITY_FLAGS}
    identity |= {"records": manifest.checksum, "classes": ", ".join(manifest.classes), "devices": replicas}
    if _AUGMENT.value == "crop":
        identity["cache"] = _CACHE.value  # windows out of stored pictures are other windows
    if num_hosts > 1:
        identity["hosts"] = num_hosts
    return identity


def _train(strategy: tf.distribute.Strategy, manifest: Manifest, records_dir: Path) -> None:
    import keras

    from voc_tfdata.evaluation.predictions import evaluate
    from voc_tfdata.pipeline.dataset import epoch_steps, eval_dataset, train_dataset
    from voc_tfdata.training import devices, hosts
    from voc_tfdata.training.loop import train
    from voc_tfdata.training.losses import weight_positives
    from voc_tfdata.training.optimizers import learning_rate_at
    from voc_tfdata.training.run_folder import prepare_folder
    from voc_tfdata.training.train_step import make_train_step

    identity = _resolve_flags(strategy, manifest)
    out_dir = prepare_folder(_OUT_DIR.value, identity, strategy, flags_text=_format_flags(), resume=_RESUME.value)

    replicas, num_hosts = strategy.num_replicas_in_sync, hosts.count_hosts(strategy)
    reading: dict[str, Any] = {
        "batch_size": _BATCH_SIZE.value,
        "image_size": _IMAGE_SIZE.value,
        "resize": _RESIZE.value,
        "difficult": _DIFFICULT.value,
        "cache": _CACHE.value,
        "cache_dir": _CACHE_DIR.value or None,
    }
    whole = replicas > 1  # batches only: one of fewer pictures than devices would leave a device without any
    steps = epoch_steps(records_dir, _TRAIN_SPLIT.value, batch_size=_BATCH_SIZE.value, drop_remainder=whole)
    validation = eval_dataset(records_dir, _VAL_SPLIT.value, with_ids=True, **reading)

    def make_batches(start_step: int) -> tf.data.Dataset:
        make_shard = partial(
            train_dataset,
            records_dir,
            _TRAIN_SPLIT.value,
            seed=_SEED.value,
            start_step=start_step,
            augment=_AUGMENT.value,
            color_jitter=_COLOR_JITTER.value,
            drop_remainder=whole,
            data_service=_DATA_SERVICE.value,
            **reading,
        )
        return devices.place_shards(lambda shard: make_shard(shard=shard), strategy, batch_size=_BATCH_SIZE.value)

    counts = _count_labels(manifest, _TRAIN_SPLIT.value)
    model, optimizer = _build_model(strategy, counts)
    local_model = keras.models.clone_model(model) if num_hosts > 1 and hosts.is_chief(strategy) else None
    logging.info(
        "%d pictures, %d steps an epoch; %s; devices: %d, hosts: %d",
        counts.num_examples,
        steps,
        _PRECISION.value,
        replicas,
        num_hosts,
    )
    train(
        model,
        optimizer,
        make_train_step(
            model,
            optimizer,
            strategy,
            positive_weight=weight_positives(counts) if _POSITIVE_WEIGHT.value else None,
            label_smoothing=_LABEL_SMOOTHING.value,
            jit_compile=bool(_JIT_COMPILE.value),
        ),
        make_batches=make_batches,
        validate=lambda: evaluate(local_model or model, validation),
        learning_rate=partial(
            learning_rate_at,
            peak=_LEARNING_RATE.value,
            warmup_steps=_WARMUP_STEPS.value,
            total_steps=min(steps * _EPOCHS.value, _MAX_STEPS.value or sys.maxsize),
            cosine_decay=_COSINE_DECAY.value,
        ),
        out_dir=out_dir,
        class_names=manifest.classes,
        identity=identity,
        steps_per_epoch=steps,
        epochs=_EPOCHS.value,
        max_steps=_MAX_STEPS.value,
        monitor=_MONITOR.value,
        patience=_PATIENCE.value,
        definition=_DEFINITION.value,
        resize=_RESIZE.value,
        checkpoint_minutes=_CHECKPOINT_MINUTES.value,
        tensorboard=_TENSORBOARD.value,
        profile=_PROFILE.value,
        strategy=strategy,
        local_model=local_model,
    )


def _build_model(strategy: tf.distribute.Strategy, counts: LabelCounts) -> tuple[keras.Model, keras.Optimizer]:
    from voc_tfdata.model.vgg16 import build_vgg16, set_prior
    from voc_tfdata.training.losses import class_frequencies
    from voc_tfdata.training.optimizers import build_optimizer

    with strategy.scope():
        model = build_vgg16(
            len(counts.positives),
            _IMAGE_SIZE.value,
            batch_norm=_BATCH_NORM.value,
            dropout=_DROPOUT.value,
            weights=_WEIGHTS.value,
            seed=_SEED.value,
            precision=_PRECISION.value,
        )
        if _PRIOR_BIAS.value:
            set_prior(model, class_frequencies(counts))
        optimizer = build_optimizer(
            _OPTIMIZER.value,
            learning_rate=_LEARNING_RATE.value,
            weight_decay=_WEIGHT_DECAY.value,
            clip_norm=_CLIP_NORM.value,
            loss_scaling=_PRECISION.value == "mixed_float16",
        )
        optimizer.build(model.trainable_variables)
    return model, optimizer


def _evaluate(checkpoint: str, manifest: Manifest, records_dir: Path) -> None:
    from voc_tfdata.evaluation.model_report import report_model
    from voc_tfdata.model.trained_model import load_model
    from voc_tfdata.training.history import read_history

    logging.info("evaluates %s on split %s", checkpoint, _TEST_SPLIT.value)
    out_dir = Path(_OUT_DIR.value)
    trained = load_model(checkpoint)
    summary = report_model(
        trained.model,
        records_dir,
        out_dir,
        class_names=trained.class_names,
        resize=trained.resize,
        history=read_history(out_dir / "history.csv"),
        split=_TEST_SPLIT.value,
        train_counts=_count_labels(manifest, _TRAIN_SPLIT.value),
        difficult=_DIFFICULT.value,
        definition=_DEFINITION.value,
        batch_size=_BATCH_SIZE.value,
        flags_text=_format_flags(),
    )
    print(format_class_table(summary))
    print(f"\n{out_dir}:")
    for name, meaning in _OUTPUTS.items():
        if (out_dir / name).exists():
            print(f"  {name:20}  {meaning}")


def _count_labels(manifest: Manifest, split: str) -> LabelCounts:
    names = find_split(manifest, split, _RECORDS.value)
    return counts_as_read(*count_labels(manifest, "+".join(names)), difficult=_DIFFICULT.value)


def _check_flags() -> None:
    """Raises ValueError for what the flags' own bounds let pass."""
    if not 0 < _LEARNING_RATE.value < float("inf"):
        raise ValueError(f"--learning_rate={_LEARNING_RATE.value}; it must be a number above 0")
    if "://" in _OUT_DIR.value:
        raise ValueError(f"--out_dir={_OUT_DIR.value}; it must be a local folder")
    if _WEIGHTS.value not in ("none", "imagenet") and not Path(_WEIGHTS.value).is_file():
        raise ValueError(f"--weights={_WEIGHTS.value}: no such file; give none, imagenet or the path of an .h5 file")
    if _WEIGHTS.value != "none" and _BATCH_NORM.value:
        raise ValueError(
            f"--weights={_WEIGHTS.value} --batch_norm: these weights are of VGG16 without it; leave one out"
        )
    if not _EVAL_ONLY.value:
        find_cluster(_STRATEGY.value)
    if _CHECKPOINT.value and not _EVAL_ONLY.value:
        raise ValueError("--checkpoint is for --eval_only; training goes on from the state in --out_dir by itself")


def _check_splits(manifest: Manifest) -> None:
    """Raises ValueError if a split is not in the records, or the validation split cannot be judged by the monitor."""
    train_names, val_names, test_names = (
        find_split(manifest, flag.value, _RECORDS.value) for flag in (_TRAIN_SPLIT, _VAL_SPLIT, _TEST_SPLIT)
    )
    seen = sorted(set(train_names) & {*val_names, *test_names})
    if seen:
        logging.warning(
            "split %s is trained on and evaluated on: the results do not tell how good the model is", seen[0]
        )
    if _MONITOR.value == "val_mAP" and not any(_count_labels(manifest, _VAL_SPLIT.value).positives):
        raise ValueError(f"--monitor=val_mAP: no class has a positive in split {_VAL_SPLIT.value}; take val_loss")


def _format_flags() -> str:
    """Returns every flag of this command that has a value, as a --flagfile takes them."""
    own = flags.FLAGS.get_flags_for_module(__name__ if __name__ != "__main__" else sys.argv[0])
    return "".join(f"{flag.serialize()}\n" for flag in own if flag.value is not None)


def run() -> None:
    """The command, with the flags of this process."""
    run_command(main)
