"""Training batches made by other machines: tf.data service, with the order, the resuming and the check of our own.

    voc_tfdata data-service dispatcher --port=5000 --workers=hostA:5001,hostB:5001
    voc_tfdata data-service worker --dispatcher=host:5000 --address=hostA:5001      # and the same on hostB
    train_dataset("/shared/records", data_service="grpc://host:5000")

Of n workers the one numbered w makes the steps w, w + n, w + 2n, ..., and the client takes their batches in turn. So
it delivers what it would deliver without workers, bit for bit and in the same order, begun at start_step as well.

What the service itself promises is less: a worker that comes back begins its part anew, and may deliver again what
was delivered. Every batch carries its step, and the client stops with an error where it is not the step that is due,
so nothing is ever lost, doubled or out of order unnoticed. What is given up: a worker that dies ends the iteration
(begin it again at start_step; a training does when it is run again), as soon as the worker is back. Until then the
iteration waits; the dispatcher says for which worker.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable

import tensorflow as tf

from voc_tfdata.pipeline import raw_ops

_SCHEME = "grpc"
_CONNECT_TIMEOUT_S = 5.0
_WORKERS_TIMEOUT_S = 30.0
_RETRY_S = 1.0
_TOOL = "voc_tfdata data-service"
_LOST = (
    "came from the data service where another step was due: a worker was restarted, or the dispatcher, and what it had "
    "made is lost; begin again from there: voc_tfdata train goes on from its last save when it is run again, "
    "train_dataset at start_step. Step due:"
)


def read_address(address: str) -> tuple[str, int]:
    """Returns (host, port) of "grpc://host:port" or "host:port".

    Raises:
      ValueError: it is neither.
    """
    host, colon, port = address.removeprefix(f"{_SCHEME}://").rpartition(":")
    if not host or "/" in host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise ValueError(f"{address!r} is no address of a data service; it is {_SCHEME}://host:port")
    return host, int(port)


def is_reachable(address: str, timeout_s: float = _CONNECT_TIMEOUT_S) -> bool:
    """Returns whether something listens at grpc://host:port."""
    try:
        with socket.create_connection(read_address(address), timeout=timeout_s):
            return True
    except OSError:
        return False


def count_workers(address: str, *, timeout_s: float = _WORKERS_TIMEOUT_S) -> int:
    """Returns how many workers a service has, once all of them have answered.

    Args:
      address: of the dispatcher, grpc://host:port.
      timeout_s: how long to wait for them.

    Raises:
      ValueError: it is no address.
      ConnectionError: nothing listens there, or not all workers answered in time.
      RuntimeError: the dispatcher was started without the list of its workers.
    """
    if not is_reachable(address):
        raise ConnectionError(
            f"no data service answers at {address}; start one there: {_TOOL} dispatcher --port=PORT --workers=HOST:PORT"
        )
    deadline = time.monotonic() + timeout_s
    numbers: list[int] = []
    faults: list[Exception] = []

    def ask() -> None:
        # Each worker answers with its own number and that plus the number of workers: once.
        try:
            while time.monotonic() < deadline:
                numbers[:] = [int(n) for n in _distribute(_own_numbers().batch(2).take(1), address).unbatch()]
                if numbers and len(numbers) // 2 >= numbers[1] - numbers[0]:
                    return
                time.sleep(_RETRY_S)  # some are there: those that are being started get their time
        except Exception as err:  # handed to the thread that waits
            faults.append(err)

    thread = threading.Thread(target=ask, daemon=True)  # the service waits for workers without end, and we do not
    thread.start()
    thread.join(timeout_s)
    if faults:
        raise RuntimeError(
            f"the data service at {address} cannot split the work: {str(faults[0]).splitlines()[0]}; its dispatcher "
            f"must know all workers: {_TOOL} dispatcher --port=PORT --workers=HOST:PORT,HOST:PORT"
        ) from faults[0]
    answered = len(numbers) // 2
    num_workers = numbers[1] - numbers[0] if answered else 0
    if not answered or answered < num_workers:
        raise ConnectionError(
            f"{answered or 'none'} of {num_workers or 'the'} workers of the data service at {address} answered in "
            f"{timeout_s:.0f} s; start them: {_TOOL} worker --dispatcher={address} --address=HOST:PORT"
        )
    return num_workers


def distribute_steps(
    make_batches: Callable[[tf.data.Dataset], tf.data.Dataset], address: str, *, start_step: int
) -> tf.data.Dataset:
    """Returns the batches of all steps from start_step on, made by the workers of a service, in order.

    Args:
      make_batches: steps (int64 scalars) -> a batch for each, a tuple of tensors, in the same order. It runs on the
        workers, and may read what they see only: files at the same path.
      address: of the dispatcher, grpc://host:port.
      start_step: the first step.

    Raises:
      ValueError, ConnectionError, RuntimeError: see count_workers.
      tf.errors.InvalidArgumentError: while iterating: a step was lost or came twice; or what make_batches raises.
    """
    num_workers = count_workers(address)

    def lane(worker: int) -> tf.data.Dataset:
        @tf.autograph.experimental.do_not_convert
        def count_steps(_: tf.Tensor) -> tf.data.Dataset:
            return tf.data.Dataset.counter(start_step + worker, num_workers)

        @tf.autograph.experimental.do_not_convert
        def is_own(number: tf.Tensor) -> tf.Tensor:
            return tf.equal(number, worker)

        # A lane is asked of all workers: the other ones have nothing to do in it.
        steps = _own_numbers().take(1).filter(is_own).flat_map(count_steps)
        return _distribute(tf.data.Dataset.zip(steps, make_batches(steps)), address)

    lanes = [lane(worker) for worker in range(num_workers)]
    ds = tf.data.Dataset.choose_from_datasets(
        lanes, tf.data.Dataset.range(num_workers).repeat(), stop_on_empty_dataset=False
    )
    ds = tf.data.Dataset.zip(tf.data.Dataset.counter(start_step), ds)

    @tf.autograph.experimental.do_not_convert
    def check(due: tf.Tensor, numbered: tuple[tf.Tensor, tuple[tf.Tensor, ...]]) -> tuple[tf.Tensor, ...]:
        step, batch = numbered
        with tf.control_dependencies(raw_ops.check(tf.equal(step, due), ["step", step, _LOST, due])):
            return tuple(tf.identity(t) for t in batch)

    return ds.map(check)


def _own_numbers() -> tf.data.Dataset:
    """Returns w, w + n, w + 2n, ... on worker w of n."""
    hint = tf.data.experimental.SHARD_HINT
    return tf.data.Dataset.range(2**40).shard(hint, hint)


def _distribute(ds: tf.data.Dataset, address: str) -> tf.data.Dataset:
    service = tf.data.experimental.service
    host, port = read_address(address)
    return ds.apply(
        service.distribute(
            processing_mode=service.ShardingPolicy.HINT,
            service=f"{_SCHEME}://{host}:{port}",
            compression=None,  # pixels hardly shrink, and the client would pay for it
        )
    )
