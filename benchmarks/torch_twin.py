"""Our VGG16 and its training step once more, in PyTorch: to check ours against it, and to time both side by side.

twin = build_twin(model)                                    # the same weights, in torch's layout
step = make_twin_step(twin, learning_rate=0.01)             # SGD with Nesterov's momentum 0.9, as --optimizer=sgd
loss = step(images, labels)                                 # uint8 [B, S, S, 3] and float32 [B, C], numpy

torch is no package that voc_tfdata needs: benchmarks/requirements.txt names it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import torch

from voc_tfdata.model.vgg16 import LOGITS_LAYER
from voc_tfdata.training.optimizers import SGD_MOMENTUM


class Twin(torch.nn.Module):  # type: ignore[misc]
    """VGG16 on float [B, 3, S, S] in 0..1 -> logits [B, C]."""

    def __init__(self, features: list[torch.nn.Module], dense: list[torch.nn.Module]) -> None:
        super().__init__()
        self.features, self.dense = torch.nn.Sequential(*features), torch.nn.Sequential(*dense)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.dense(torch.flatten(self.features(images), 1))


def build_twin(model: keras.Model) -> Twin:
    """Returns the network of build_vgg16 (without pretrained weights, without dropout) with the same weights."""
    features: list[torch.nn.Module] = []
    dense: list[torch.nn.Module] = []
    shape = model.get_layer("flatten").input.shape  # [B, H, W, filters]
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            kernel, *bias = layer.get_weights()
            twin = torch.nn.Conv2d(kernel.shape[2], kernel.shape[3], 3, padding=1, bias=bool(bias))
            _set(twin, kernel.transpose(3, 2, 0, 1), *bias)
            features += [twin] + ([torch.nn.ReLU()] if layer.activation is keras.activations.relu else [])
        elif isinstance(layer, keras.layers.BatchNormalization):
            gamma, beta, mean, variance = layer.get_weights()
            norm = torch.nn.BatchNorm2d(len(gamma), eps=layer.epsilon, momentum=1 - layer.momentum)
            _set(norm, gamma, beta)
            norm.running_mean.copy_(torch.tensor(mean))
            norm.running_var.copy_(torch.tensor(variance))
            features.append(norm)
        elif isinstance(layer, keras.layers.ReLU):
            features.append(torch.nn.ReLU())
        elif isinstance(layer, keras.layers.MaxPooling2D):
            features.append(torch.nn.MaxPool2d(2))
        elif isinstance(layer, keras.layers.Dense):
            kernel, bias = layer.get_weights()
            if not dense:  # ours flattens rows, columns, filters; torch filters, rows, columns
                kernel = kernel.reshape(*shape[1:], -1).transpose(2, 0, 1, 3).reshape(kernel.shape)
            twin = torch.nn.Linear(*kernel.shape)
            _set(twin, kernel.T, bias)
            dense += [twin] + ([] if layer.name == LOGITS_LAYER else [torch.nn.ReLU()])
    return Twin(features, dense)


def make_twin_step(
    twin: Twin, *, learning_rate: float, device: str = "cpu", bfloat16: bool = False, compiled: bool = False
) -> Callable[[Any, Any], torch.Tensor]:
    """Returns a function that updates the network on a batch and returns its loss before that, on the device.

    Args:
      twin: of build_twin; moved to the device, channels last.
      learning_rate: of SGD.
      device: of torch.
      bfloat16: computes in it by autocast.
      compiled: by torch.compile.
    """
    twin = twin.to(device, memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(twin.parameters(), learning_rate, momentum=SGD_MOMENTUM, nesterov=True)
    network = torch.compile(twin) if compiled else twin

    def step(images: Any, labels: Any) -> torch.Tensor:
        x = torch.as_tensor(images).to(device, non_blocking=True).permute(0, 3, 1, 2).float() / 255
        y = torch.as_tensor(labels).to(device, non_blocking=True)
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.partition(":")[0], torch.bfloat16, enabled=bfloat16):
            logits = network(x).float()
        counted = y >= 0
        cells = torch.nn.functional.binary_cross_entropy_with_logits(logits, y.clamp(min=0), reduction="none")
        loss = (cells * counted).sum() / counted.sum()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def _set(layer: torch.nn.Module, weight: np.ndarray, bias: np.ndarray | None = None) -> None:
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(np.ascontiguousarray(weight)))
        if bias is not None:
            layer.bias.copy_(torch.tensor(bias))
