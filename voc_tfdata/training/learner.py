"""What is trained: the model, its optimizer and the function of one step, on one device or on several."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import keras
import tensorflow as tf

from voc_tfdata.training.hosts import count_hosts, is_chief
from voc_tfdata.training.optimizers import reset_optimizer

TrainStep = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


@dataclass(frozen=True)
class Learner:
    """A model in training.

    With several hosts, the chief also has a copy of the model without a strategy. It gets the weights before the model
    is validated, and is what is saved: the model itself cannot be used by one host alone, as reading some variables (of
    batch normalisation) is an operation of all hosts.
    """

    model: keras.Model  # uint8 [B, H, W, 3] -> probabilities [B, C]
    optimizer: keras.Optimizer  # built on the model's trainable variables
    train_step: TrainStep  # of make_train_step, for this model and optimizer
    class_names: tuple[str, ...]  # in the order of the model's outputs
    resize: str = "bilinear"  # how images are resized, kept in best.keras
    weights: str = "none"  # that the model started from, kept in best.keras
    strategy: tf.distribute.Strategy = field(default_factory=tf.distribute.get_strategy)  # it was made under
    freeze_steps: int = 0  # first steps, which train the head only
    frozen_step: TrainStep | None = None  # what does them
    local_model: keras.Model | None = None  # with several hosts, on the chief

    def do_step(self, step: int, images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Does a step of the run; see make_train_step. The optimizer begins anew where the whole model is let loose."""
        if self.frozen_step is not None and step < self.freeze_steps:
            return self.frozen_step(images, labels)
        if step == self.freeze_steps > 0:
            reset_optimizer(self.optimizer)
        return self.train_step(images, labels)

    @property
    def variables(self) -> list[keras.Variable]:
        """The model's and the optimizer's, the seeds of dropout included, always in the same order."""
        return [*self.model.variables, *self.optimizer.variables]

    @property
    def usable_model(self) -> keras.Model:
        """The model to predict with and to save, on the chief."""
        return self.local_model or self.model

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the outputs and decides."""
        return is_chief(self.strategy)

    @property
    def num_hosts(self) -> int:
        """How many processes train together."""
        return count_hosts(self.strategy)
