"""Optimizers by name, and the learning rate as a plain function of the step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

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
    variables: Sequence[keras.Variable] = (),
    slow: Sequence[keras.Variable] = (),
    slow_factor: float = 1.0,
) -> keras.Optimizer:
    """Returns a Keras optimizer with Keras' defaults for whatever is not given.

    Args:
      name: "rmsprop", "sgd" (Nesterov momentum 0.9), "adam" or "adamw".
      learning_rate: of the first step; see learning_rate_at.
      weight_decay: decoupled, of kernels only (no bias, no batch normalisation); 0 is none.
      clip_norm: the gradient of all weights together is scaled down to this length if it is longer; 0 is never.
      loss_scaling: dynamic, as float16 needs.
      variables: to be trained; the optimizer is built for them. Without them it is left to its first use.
      slow: those of them whose learning rate is multiplied by slow_factor; their weight decay is not.
      slow_factor: 0..1.

    Raises:
      ValueError: another name.
    """
    if name not in OPTIMIZERS:
        raise ValueError(f"optimizer={name!r}; allowed: {', '.join(OPTIMIZERS)}")
    options: dict[str, Any] = {
        "learning_rate": learning_rate,
        "global_clipnorm": clip_norm or None,
        # AdamW insists on a number, and its own default is not 0.
        "weight_decay": weight_decay if weight_decay or name == "adamw" else None,
        "name": name,
    }
    kinds: dict[str, type[keras.Optimizer]] = {
        "rmsprop": keras.optimizers.RMSprop,
        "sgd": keras.optimizers.SGD,
        "adam": keras.optimizers.Adam,
        "adamw": keras.optimizers.AdamW,
    }
    if name == "sgd":
        options |= {"momentum": SGD_MOMENTUM, "nesterov": True}
    kind = kinds[name]
    if slow_factor != 1:
        paths = {variable.path for variable in slow}
        kind = _slow_down(kind, {n for n, variable in enumerate(variables) if variable.path in paths}, slow_factor)
    optimizer = kind(**options)
    if weight_decay:
        optimizer.exclude_from_weight_decay(var_names=_NOT_DECAYED)
    if loss_scaling:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, name="loss_scale")
    if variables:
        optimizer.build(variables)
    return optimizer


def reset_optimizer(optimizer: keras.Optimizer) -> None:
    """Forgets all moments and the number of steps, as a new optimizer has none; the scale of the loss stays."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    for variable in inner.variables:
        if variable.path != inner._learning_rate.path:
            variable.assign(keras.ops.zeros_like(variable))


def _slow_down(kind: type[keras.Optimizer], slow: set[int], factor: float) -> type[keras.Optimizer]:
    """Returns an optimizer class that multiplies the learning rate of some variables by a factor.

    Args:
      kind: any of Keras.
      slow: numbers of those variables, in the order in which the optimizer is built.
      factor: 0..1.
    """

    class SlowedDown(kind):  # type: ignore[misc, valid-type]
        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            is_slow = self._get_variable_index(variable) in slow
            super().update_step(gradient, variable, learning_rate * factor if is_slow else learning_rate)

    return SlowedDown


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
