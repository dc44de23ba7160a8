"""What this machine computes on, and in which precision it does so best."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf
from absl import logging

from voc_tfdata.training.cluster import find_cluster
from voc_tfdata.training.hosts import START_TIMEOUT_S, count_hosts, join_cluster

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
STRATEGIES = ("none", "mirrored", "multi_worker")
# CPU flags of /proc/cpuinfo with which VGG16 training steps were faster in bfloat16 than in float32.
BFLOAT16_CPU_FLAGS = ("amx_bf16", "avx512_bf16")
BFLOAT16_COMPUTE_CAPABILITY = (8, 0)


def choose_precision(precision: str = "auto") -> str:
    """Returns the Keras dtype policy to train with: the one asked for, or for "auto" the fastest that is sound here.

    auto: mixed_bfloat16 on GPUs of compute capability 8 and up and on CPUs with bfloat16 instructions, mixed_float16
    on older GPUs, else float32.

    Raises:
      ValueError: another word.
    """
    if precision in PRECISIONS:
        return precision
    if precision != "auto":
        raise ValueError(f"precision={precision!r}; allowed: auto, {', '.join(PRECISIONS)}")
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        capabilities = [tf.config.experimental.get_device_details(gpu).get("compute_capability") for gpu in gpus]
        return precision_of_gpus(capabilities)
    cpuinfo = Path("/proc/cpuinfo")
    return precision_of_cpu(cpuinfo.read_text() if cpuinfo.is_file() else "")


def tell_unused_gpu() -> None:
    """Logs that an NVIDIA GPU is there which TensorFlow does not see, and the command that helps."""
    if tf.config.list_physical_devices("GPU") or os.environ.get("CUDA_VISIBLE_DEVICES", "0") in ("", "-1"):
        return  # seen, or hidden on purpose
    if Path("/dev/nvidia0").exists() or shutil.which("nvidia-smi"):
        logging.warning(
            "an NVIDIA GPU is there, but TensorFlow sees none and computes on the CPU: pip install 'voc_tfdata[cuda]'"
        )


def precision_of_gpus(capabilities: list[tuple[int, int] | None]) -> str:
    """Returns the policy for GPUs of these compute capabilities; None is an unknown one (no NVIDIA)."""
    known = [capability for capability in capabilities if capability is not None]
    if len(known) < len(capabilities):
        return "float32"
    return "mixed_bfloat16" if min(known) >= BFLOAT16_COMPUTE_CAPABILITY else "mixed_float16"


def precision_of_cpu(cpuinfo: str) -> str:
    """Returns the policy for a CPU, given the text of /proc/cpuinfo."""
    flags = {word for line in cpuinfo.splitlines() if line.startswith("flags") for word in line.split()}
    return "mixed_bfloat16" if flags.intersection(BFLOAT16_CPU_FLAGS) else "float32"


def choose_jit_compile(
    jit_compile: bool | None, strategy: tf.distribute.Strategy, *, deterministic: bool = False
) -> bool:
    """Returns whether XLA is to compile the training step: as asked; for None on one GPU, if XLA can do so there.

    On an NVIDIA H200 it made VGG16's step, in bfloat16, 1.9 times as fast; on CPUs it makes it slower. For a GPU it has
    no deterministic gradient of max pooling.

    Raises:
      ValueError: asked for with several devices, whose sums XLA cannot compile.
    """
    if jit_compile and strategy.num_replicas_in_sync > 1:
        raise ValueError(f"--jit_compile with {strategy.num_replicas_in_sync} devices; it is for one: leave it out")
    if jit_compile is not None:
        return jit_compile
    if deterministic or strategy.num_replicas_in_sync > 1 or not tf.config.list_logical_devices("GPU"):
        return False
    try:
        tf.function(tf.exp, jit_compile=True, autograph=False)(tf.ones([2]))
    except tf.errors.OpError as err:  # it needs libdevice and ptxas of CUDA's compiler
        logging.warning("trains without XLA, which does not work on this GPU: %s", str(err).partition("\n")[0])
        return False
    return True


def choose_strategy(strategy: str = "auto", *, start_timeout_s: float = START_TIMEOUT_S) -> tf.distribute.Strategy:
    """Returns how to spread a batch over devices: TensorFlow's default (one device), or one over several.

    With TF_CONFIG set it must be called before anything touches a device, and returns when all hosts are there.

    Args:
      strategy: "none", "mirrored" (all GPUs, without any all logical CPUs), "multi_worker" (all GPUs of all hosts of
        TF_CONFIG, without any their CPUs), or "auto": multi_worker if TF_CONFIG names several hosts, else mirrored if
        there are several GPUs.
      start_timeout_s: how long to wait for the hosts of TF_CONFIG.

    Raises:
      ValueError: another word, or TF_CONFIG is malformed or missing.
      RuntimeError: a host of TF_CONFIG did not come.
    """
    if strategy not in ("auto", *STRATEGIES):
        raise ValueError(f"strategy={strategy!r}; allowed: auto, {', '.join(STRATEGIES)}")
    cluster = find_cluster(strategy)
    if cluster is not None and cluster.num_hosts > 1:
        return join_cluster(cluster, start_timeout_s=start_timeout_s)
    gpus = tf.config.list_logical_devices("GPU")
    if strategy == "none" or (strategy != "mirrored" and len(gpus) < 2):
        return tf.distribute.get_strategy()
    return tf.distribute.MirroredStrategy([device.name for device in gpus or tf.config.list_logical_devices("CPU")])


def place_shards(
    make_shard: Callable[[tuple[int, int]], tf.data.Dataset], strategy: tf.distribute.Strategy, *, batch_size: int
) -> tf.data.Dataset:
    """Returns global batches: of one host its data set, of several each one's part, on the way to its devices.

    Args:
      make_shard: gives the part of (host, number of hosts) of every batch.
      strategy: of choose_strategy.
      batch_size: of the global batch; with several hosts a multiple of the number of devices.
    """
    if count_hosts(strategy) == 1:
        return place_batches(make_shard((0, 1)), strategy)

    def make_part(place: tf.distribute.InputContext) -> tf.data.Dataset:
        part = make_shard((place.input_pipeline_id, place.num_input_pipelines))
        hosts, devices = place.num_input_pipelines, strategy.num_replicas_in_sync
        return part if hosts == devices else part.rebatch(batch_size // devices)

    return strategy.distribute_datasets_from_function(make_part)


def place_batches(batches: tf.data.Dataset, strategy: tf.distribute.Strategy) -> tf.data.Dataset:
    """Returns the batches with the next ones on their way to the device: split over replicas, or copied to the GPU."""
    if strategy.num_replicas_in_sync > 1:
        options = tf.data.Options()
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
        return strategy.experimental_distribute_dataset(batches.with_options(options))
    gpus = tf.config.list_logical_devices("GPU")
    return batches.apply(tf.data.experimental.prefetch_to_device(gpus[0].name)) if gpus else batches
