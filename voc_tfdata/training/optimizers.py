"""Optimizers by name, and the learning rate as a plain function of the step."""

from __future__ import annotations

import math

import keras

OPTIMIZERS = ("rmsprop", "sgd", "adam", "adamw")
SGD_MOMENTUM = 0.9
_NOT_DECAYED = ["bias", "gamma", "beta"]


def build_optimizer(
    name: str,
    *,
    learning_rate: float,
    weight_decay: float = 0.0,
    clip_norm: float = 0.0,
    loss_scaling: bool = False,
) -> keras.Optimizer:
    """Returns a Keras optimizer with Keras' defaults for whatever is not given.

    Args:
      name: "rmsprop", "sgd" (Nesterov momentum 0.9), "adam" or "adamw".
      learning_rate: of the first step; see learning_rate_at.
      weight_decay: decoupled, of kernels only (no bias, no batch normalisation); 0 is none.
      clip_norm: the gradient of all weights together is scaled down to this length if it is longer; 0 is never.
      loss_scaling: dynamic, as float16 needs.

    Raises:
      ValueError: another name.
    """
    if name not in OPTIMIZERS:
        raise ValueError(f"optimizer={name!r}; allowed: {', '.join(OPTIMIZERS)}")
    options = {
        "learning_rate": learning_rate,
        "global_clipnorm": clip_norm or None,
        # AdamW insists on a number, and its own default is not 0.
        "weight_decay": weight_decay if weight_decay or name == "adamw" else None,
        "name": name,
    }
    if name == "sgd":
        optimizer = keras.optimizers.SGD(momentum=SGD_MOMENTUM, nesterov=True, **options)
    else:
        kinds = {"rmsprop": keras.optimizers.RMSprop, "adam": keras.optimizers.Adam, "adamw": keras.optimizers.AdamW}
        optimizer = kinds[name](**options)
    if weight_decay:
        optimizer.exclude_from_weight_decay(var_names=_NOT_DECAYED)
    return keras.optimizers.LossScaleOptimizer(optimizer, name="loss_scale") if loss_scaling else optimizer


def learning_rate_at(step: int, *, peak: float, warmup_steps: int, total_steps: int, cosine_decay: bool) -> float:
    """Returns the learning rate of one step; nothing to save and restore.

    It rises in equal steps to `peak` at the end of the warm-up, then stays, or falls along half a cosine to 0 at
    total_steps (Loshchilov and Hutter, "SGDR", ICLR 2017, equation 5, one period).

    Args:
      step: 0 for the first.
      peak: the highest rate.
      warmup_steps: 0 is none.
      total_steps: of the whole training, warm-up included.
      cosine_decay: whether it falls.
    """
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    if not cosine_decay:
        return peak
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return peak * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
