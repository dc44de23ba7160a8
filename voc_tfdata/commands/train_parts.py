"""What a training run is made of, from its flags: learner, settings of the loop, batches, validation.

learner = build_learner(strategy, source)
train(learner, loop_settings(strategy, source), make_batches=partial(make_batches, strategy), ...)
"""

from __future__ import annotations

import io
from functools import partial
from typing import TYPE_CHECKING, Any

from voc_tfdata.commands import train_flags as flag
from voc_tfdata.evaluation.baselines import LabelCounts, counts_as_read
from voc_tfdata.records.split_source import SplitSource, count_labels

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from voc_tfdata.evaluation.predictions import Predictions
    from voc_tfdata.training.learner import Learner
    from voc_tfdata.training.loop import LoopSettings

_DRAWN = 16  # images of a batch, in a picture of it


def build_learner(strategy: tf.distribute.Strategy, source: SplitSource) -> Learner:
    """Returns the model that the flags name, its optimizer and its steps, made under the strategy."""
    import keras

    from voc_tfdata.model.networks import find_head
    from voc_tfdata.training import hosts
    from voc_tfdata.training.learner import Learner
    from voc_tfdata.training.losses import weight_positives
    from voc_tfdata.training.train_step import make_train_step

    counts = counts_as_read(*count_labels(source), difficult=flag.DIFFICULT.value)
    model, optimizer = _build_model(strategy, counts)
    make_step = partial(
        make_train_step,
        model,
        optimizer,
        strategy,
        positive_weight=weight_positives(counts) if flag.POSITIVE_WEIGHT.value else None,
        label_smoothing=flag.LABEL_SMOOTHING.value,
        jit_compile=bool(flag.JIT_COMPILE.value),
    )
    needs_copy = hosts.count_hosts(strategy) > 1 and hosts.is_chief(strategy)
    return Learner(
        model,
        optimizer,
        make_step(),
        freeze_steps=flag.FREEZE_EPOCHS.value * loop_settings(strategy, source).steps_per_epoch,
        frozen_step=make_step(variables=find_head(model)) if flag.FREEZE_EPOCHS.value else None,
        class_names=source.classes,
        resize=flag.RESIZE.value,
        weights=flag.WEIGHTS.value,
        strategy=strategy,
        local_model=keras.models.clone_model(model) if needs_copy else None,
    )


def _build_model(strategy: tf.distribute.Strategy, counts: LabelCounts) -> tuple[keras.Model, keras.Optimizer]:
    import keras

    from voc_tfdata.model.networks import build_model, find_backbone
    from voc_tfdata.model.vgg16 import set_prior
    from voc_tfdata.training.losses import class_frequencies
    from voc_tfdata.training.optimizers import build_optimizer

    keras.utils.set_random_seed(flag.SEED.value % 2**32)  # for the layers that get no seed of their own
    with strategy.scope():
        model = build_model(
            flag.MODEL.value,
            len(counts.positives),
            flag.IMAGE_SIZE.value,
            pooling=flag.POOLING.value,
            batch_norm=flag.BATCH_NORM.value,
            dropout=flag.DROPOUT.value,
            weights=flag.WEIGHTS.value,
            seed=flag.SEED.value,
            precision=flag.PRECISION.value,
        )
        if flag.PRIOR_BIAS.value:
            set_prior(model, class_frequencies(counts))
        optimizer = build_optimizer(
            flag.OPTIMIZER.value,
            learning_rate=flag.LEARNING_RATE.value,
            weight_decay=flag.WEIGHT_DECAY.value,
            clip_norm=flag.CLIP_NORM.value,
            loss_scaling=flag.PRECISION.value == "mixed_float16",
            variables=model.trainable_variables,
            slow=find_backbone(model) if flag.BACKBONE_RATE.value != 1 else (),
            slow_factor=flag.BACKBONE_RATE.value,
        )
    return model, optimizer


def loop_settings(strategy: tf.distribute.Strategy, source: SplitSource) -> LoopSettings:
    """Returns how long the run is, what it is judged by, and what it writes on the way."""
    from voc_tfdata.pipeline.order import steps_in_epoch
    from voc_tfdata.training.loop import LoopSettings

    batch_size, whole = flag.BATCH_SIZE.value, _whole_batches_only(strategy)
    return LoopSettings(
        steps_per_epoch=steps_in_epoch(source.num_examples, batch_size, drop_remainder=whole),
        epochs=flag.EPOCHS.value,
        max_steps=flag.MAX_STEPS.value,
        monitor=flag.MONITOR.value,
        patience=flag.PATIENCE.value,
        definition=flag.DEFINITION.value,
        checkpoint_minutes=flag.CHECKPOINT_MINUTES.value,
        keep_state=flag.KEEP_STATE.value,
        tensorboard=flag.TENSORBOARD.value,
        profile=flag.PROFILE.value,
    )


def _whole_batches_only(strategy: tf.distribute.Strategy) -> bool:
    """Returns whether the last, partial batch is left out: of fewer images than devices, one would have none."""
    return strategy.num_replicas_in_sync > 1


def make_batches(strategy: tf.distribute.Strategy, start_step: int) -> tf.data.Dataset:
    """Returns the training batches from a step on, forever: (images, labels), on the devices of the strategy."""
    from voc_tfdata.pipeline.dataset import train_dataset
    from voc_tfdata.training.devices import place_shards

    def make_shard(shard: tuple[int, int]) -> tf.data.Dataset:
        return train_dataset(
            flag.RECORDS.value,
            flag.TRAIN_SPLIT.value,
            batch_size=flag.BATCH_SIZE.value,
            start_step=start_step,
            shard=shard,
            drop_remainder=_whole_batches_only(strategy),
            data_service=flag.DATA_SERVICE.value,
            **_image_options(),
        )

    return place_shards(make_shard, strategy, batch_size=flag.BATCH_SIZE.value)


def draw_first_images() -> bytes:
    """Returns a PNG of the first images of the run, as they reach the network; see pipeline.preview."""
    from voc_tfdata.pipeline.preview import preview

    png = io.BytesIO()
    batch_size = min(flag.BATCH_SIZE.value, _DRAWN)  # what an image looks like depends on its place in no batch
    picture = preview(
        flag.RECORDS.value, flag.TRAIN_SPLIT.value, batch_size=batch_size, check="sizes", **_image_options()
    )
    picture.save(png, "PNG")
    return png.getvalue()


def _image_options() -> dict[str, Any]:
    """Returns what decides the pixels and labels of each training image, as train_dataset takes it."""
    return {
        "image_size": flag.IMAGE_SIZE.value,
        "seed": flag.SEED.value,
        "augment": flag.AUGMENT.value,
        "color_jitter": flag.COLOR_JITTER.value,
        "resize": flag.RESIZE.value,
        "difficult": flag.DIFFICULT.value,
        "cache": flag.CACHE.value,
        "cache_dir": flag.CACHE_DIR.value or None,
    }


def make_callbacks() -> list[keras.callbacks.Callback]:
    """Returns the callbacks of the user's function.

    Raises:
      FileNotFoundError: there is no such function.
      ValueError: it returns something else.
    """
    import keras

    from voc_tfdata.own_code import load_function

    if not flag.CALLBACKS.value:
        return []
    made = load_function(flag.CALLBACKS.value, flag="--callbacks")()
    callbacks = list(made) if isinstance(made, (list, tuple)) else [made]
    for callback in callbacks:
        if not isinstance(callback, keras.callbacks.Callback):
            raise ValueError(
                f"--callbacks={flag.CALLBACKS.value} returns {type(callback).__name__}, not a keras.callbacks.Callback "
                "or a list of them"
            )
    return callbacks


def make_validation(learner: Learner) -> partial[Predictions]:
    """Returns the function that gives the predictions of the learner, as it is, for the validation split."""
    from voc_tfdata.evaluation.predictions import collect_predictions, make_predictor
    from voc_tfdata.pipeline.dataset import eval_dataset

    dataset = eval_dataset(
        flag.RECORDS.value,
        flag.VAL_SPLIT.value,
        batch_size=flag.BATCH_SIZE.value,
        image_size=flag.IMAGE_SIZE.value,
        resize=flag.RESIZE.value,
        difficult=flag.DIFFICULT.value,
        with_ids=True,
        cache=flag.CACHE.value,
        cache_dir=flag.CACHE_DIR.value or None,
    )
    return partial(collect_predictions, make_predictor(learner.usable_model), dataset)
