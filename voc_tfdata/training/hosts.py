"""Several processes that train as one: joining them, agreeing on what the first of them says, noticing that one died.

strategy = join_cluster(parse_cluster(os.environ["TF_CONFIG"]))     # before anything touches a device
row = broadcast(row if is_chief(strategy) else None, strategy)     # the same on every host

Everything here that is said to be "on every host" is a collective operation: all must come to it, in the same order.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow.python.eager import context  # the coordination service has no public name

from voc_tfdata.quiet import quiet_start
from voc_tfdata.training.cluster import Cluster

START_TIMEOUT_S = 300.0  # hosts may be started by hand, and load TensorFlow from slow disks
DEATH_TIMEOUT_S = 20.0  # without a sign of life
_REMEDY = "start all hosts again with the same command: the run goes on from the last save"


def join_cluster(
    cluster: Cluster, *, start_timeout_s: float = START_TIMEOUT_S, death_timeout_s: float = DEATH_TIMEOUT_S
) -> tf.distribute.MultiWorkerMirroredStrategy:
    """Returns the strategy over the hosts of TF_CONFIG, once all of them are there.

    Args:
      cluster: of TF_CONFIG, which TensorFlow reads itself.
      start_timeout_s: how long to wait for the others.
      death_timeout_s: a host without a sign of life for so long counts as dead: collectives end with an error.

    Raises:
      RuntimeError: devices are in use already, or a host did not come.
    """
    try:  # the message classes moved
        from tensorflow.compiler.xla.tsl.protobuf import coordination_config_pb2 as messages
    except ImportError:
        from tensorflow.tsl.protobuf import coordination_config_pb2 as messages

    deadline = time.monotonic() + start_timeout_s
    _wait_for_hosts(cluster, deadline=deadline, start_timeout_s=start_timeout_s)
    leader = "chief" if "chief" in cluster.jobs else "worker"
    context.context().configure_coordination_service(
        "standalone",
        f"/job:{leader}/replica:0/task:0",
        cluster_register_timeout_in_ms=int(1000 * start_timeout_s),
        heartbeat_timeout_in_ms=int(1000 * death_timeout_s),
        shutdown_barrier_timeout_in_ms=5000,
        coordinated_jobs=[messages.CoordinatedJob(name=n, num_tasks=len(a)) for n, a in cluster.jobs.items()],
    )
    on_sigterm = signal.getsignal(signal.SIGTERM)
    # TensorFlow waits here without a limit if a host ends at this very moment; nothing but an exit ends that.
    stderr = os.dup(2)
    alarm = threading.Timer(max(1.0, deadline - time.monotonic()) + death_timeout_s, _give_up, [cluster, stderr])
    alarm.daemon = True
    alarm.start()
    try:
        with quiet_start():  # its servers report that they are well
            strategy = tf.distribute.MultiWorkerMirroredStrategy()
    except (tf.errors.OpError, RuntimeError) as err:
        raise RuntimeError(
            f"the hosts of TF_CONFIG ({_list(cluster)}) did not get together; {_REMEDY} ({err})"
        ) from err
    finally:
        alarm.cancel()
        os.close(stderr)
    signal.signal(signal.SIGTERM, on_sigterm)  # TensorFlow has put in one that ends nothing
    return strategy


@contextlib.contextmanager
def report_lost_hosts(strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Turns the error of a collective whose other side is gone into RuntimeError with reason and remedy."""
    try:
        yield
    except tf.errors.InvalidArgumentError:
        raise  # of a record: it has its own words
    except tf.errors.OpError as err:
        if count_hosts(strategy) == 1:
            raise
        raise RuntimeError(f"another host ended or cannot be reached; {_REMEDY} ({_first_line(err)})") from err


def count_hosts(strategy: tf.distribute.Strategy) -> int:
    """Returns how many processes train together."""
    spec = strategy.cluster_resolver.cluster_spec().as_dict() if strategy.cluster_resolver else {}
    return sum(len(addresses) for addresses in spec.values()) or 1


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Returns whether this process writes the outputs: one of all."""
    return bool(strategy.extended.should_checkpoint)


def broadcast_array(array: npt.NDArray, strategy: tf.distribute.Strategy) -> npt.NDArray:
    """Returns the chief's array on every host; the others give one of the same shape and dtype.

    It is a sum with zeros: exact, but for the sign of zero.
    """
    if count_hosts(strategy) == 1:
        return array
    wide = array if array.dtype in (np.float32, np.float64, np.int32, np.int64) else array.astype(_wide(array.dtype))
    total = strategy.run(_add_up, args=(tf.constant(wide.ravel()),))  # of one axis: two traces a dtype
    return np.asarray(strategy.experimental_local_results(total)[0]).astype(array.dtype).reshape(array.shape)


@tf.function(autograph=False, reduce_retracing=True)
def _add_up(value: tf.Tensor) -> tf.Tensor:
    """Returns the first replica's value on all."""
    replica = tf.distribute.get_replica_context()
    mine = tf.where(tf.equal(replica.replica_id_in_sync_group, 0), value, tf.zeros_like(value))
    return replica.all_reduce(tf.distribute.ReduceOp.SUM, mine)


def broadcast(value: Any, strategy: tf.distribute.Strategy) -> Any:
    """Returns the chief's JSON value on every host; what the others give is not looked at."""
    if count_hosts(strategy) == 1:
        return value
    text = json.dumps(value).encode() if is_chief(strategy) else b""
    length = int(broadcast_array(np.array([len(text)], np.int32), strategy)[0])
    letters = np.zeros(length, np.int32)
    if is_chief(strategy):
        letters[:] = np.frombuffer(text, np.uint8)
    return json.loads(broadcast_array(letters, strategy).astype(np.uint8).tobytes())


def _wait_for_hosts(cluster: Cluster, *, deadline: float, start_timeout_s: float) -> None:
    """Returns when every other host listens at its address, as this one does meanwhile: TensorFlow would wait on."""
    addresses = [address for job in cluster.jobs.values() for address in job]
    own = addresses[cluster.host]
    try:
        server = socket.create_server(("", int(own.rpartition(":")[2])))
    except OSError as err:
        raise RuntimeError(
            f"TF_CONFIG gives this process the address {own}, and its port is not free ({err.strerror}); end the "
            "process that has it, or name another port on all hosts"
        ) from err
    with server:
        missing = [address for address in addresses if address != own]
        while missing:
            missing = [address for address in missing if not _listens(address)]
            if missing and time.monotonic() >= deadline:
                raise RuntimeError(
                    f"no process at {', '.join(missing)} within {start_timeout_s:g} s; TF_CONFIG names "
                    f"{len(addresses)} hosts: start all of them with the same command, each with its own task.index"
                )
            if missing:
                time.sleep(0.2)


def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=2).close()
    except OSError:
        return False
    return True


def _give_up(cluster: Cluster, stderr: int) -> None:
    os.write(stderr, f"error: the hosts of TF_CONFIG ({_list(cluster)}) did not get together; {_REMEDY}\n".encode())
    os._exit(1)


def _list(cluster: Cluster) -> str:
    return ", ".join(address for addresses in cluster.jobs.values() for address in addresses)


def _wide(dtype: np.dtype) -> type:
    """Returns a type that collectives can add up and that holds all values of this one."""
    return np.int64 if dtype.kind in "iub" else np.float32


def _first_line(err: tf.errors.OpError) -> str:
    """Returns the line of the message that says most."""
    lines = [line.strip() for line in str(err.message).splitlines() if line.strip()] or [type(err).__name__]
    telling = [line for line in lines if "/task:" in line and ("ollective" in line or "rror" in line)]
    return (telling or lines)[0][:240]
