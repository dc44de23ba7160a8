"""Runs the processes that make training batches for voc_tfdata train --data_service=grpc://HOST:5000.

    voc_tfdata data-service dispatcher --port=5000 --workers=hostA:5001,hostB:5001 --work_dir=/shared/service
    voc_tfdata data-service worker --dispatcher=HOST:5000 --address=hostA:5001      # on hostA; likewise on hostB

A dispatcher and all the workers that it names. Workers need TensorFlow (of the version that trains), and the records
at the path that the trainer gives. Each prints a line with its address when it listens, and runs until it is stopped.
There is no password: keep the ports within a network that you trust.

A worker that died is started again by the same command; what reads from it ends with an error then, and goes on by
its own means (a training: when it is run again). The dispatcher may be restarted unnoticed if it has a --work_dir.
"""

import signal
import time
from collections.abc import Sequence
from types import FrameType

from absl import flags, logging

from voc_tfdata.commands.command_line import run_command
from voc_tfdata.quiet import quiet_start

_PORT = flags.DEFINE_integer("port", 5000, "Port of the dispatcher; 0: any that is free.", 0, 65535)
_WORKERS = flags.DEFINE_list("workers", [], "Of a dispatcher: all its workers, host:port of each.")
_WORK_DIR = flags.DEFINE_string("work_dir", "", "Of a dispatcher: folder for its state, to survive a restart.")
_DISPATCHER = flags.DEFINE_string("dispatcher", "", "Of a worker: host:port of the dispatcher.")
_ADDRESS = flags.DEFINE_string("address", "", "Of a worker: its host:port, as --workers of the dispatcher has it.")

_OPEN = (
    "TensorFlow's server listens on all interfaces of this machine, whatever its address, and has no password: let a "
    "firewall keep the port within a network that you trust"
)
_WATCH_S = 5.0
# Work that a restarted worker could not be handed at once reaches it with its next heartbeat; TensorFlow's 30 s would
# be as long as a client waits for its workers.
_HEARTBEAT_MS = 2_000
_PATIENCE_MS = 20_000  # of a worker, for the dispatcher to answer


def main(argv: list[str]) -> int:
    """Serves until the process is told to stop."""
    if argv not in (["dispatcher"], ["worker"]):
        raise ValueError("say which: voc_tfdata data-service dispatcher|worker --help")
    with quiet_start():
        from voc_tfdata.pipeline.data_service import is_reachable, read_address

    signal.signal(signal.SIGTERM, _interrupt)
    try:
        own = f"localhost:{_PORT.value}" if argv == ["dispatcher"] else _ADDRESS.value
        # gRPC would share the port with the process that has it.
        if own and not own.endswith(":0") and is_reachable(own):
            raise ValueError(f"{own} is in use; stop what listens there, or take another port")
        if argv == ["dispatcher"]:
            serve_dispatcher(_PORT.value, _WORKERS.value, _WORK_DIR.value)
        for flag in (_DISPATCHER, _ADDRESS):
            if not flag.value:
                raise ValueError(f"a worker needs --{flag.name}=HOST:PORT")
            read_address(flag.value)
        deadline = time.monotonic() + _PATIENCE_MS / 1000
        while not (there := is_reachable(_DISPATCHER.value)) and time.monotonic() < deadline:
            time.sleep(1.0)  # the two may have been started together
        if not there:
            raise ConnectionError(
                f"no dispatcher answers at {_DISPATCHER.value}; start one there: voc_tfdata data-service "
                f"dispatcher --port={read_address(_DISPATCHER.value)[1]} --workers={_ADDRESS.value}"
            )
        serve_worker(_DISPATCHER.value, _ADDRESS.value)
    except KeyboardInterrupt:  # how a server ends
        logging.info("stopped")
    return 0


def serve_dispatcher(port: int, workers: Sequence[str], work_dir: str) -> None:
    """Runs a dispatcher, and warns of workers that went away; does not return.

    Raises:
      ValueError: no workers are named, one of them twice, or by something that is no address.
    """
    import tensorflow as tf

    from voc_tfdata.pipeline.data_service import is_reachable, read_address

    names = ["{}:{}".format(*read_address(worker)) for worker in workers]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"--workers={','.join(names)}; it names all workers, each once: HOST:PORT,HOST:PORT")
    service = tf.data.experimental.service
    server = service.DispatchServer(
        service.DispatcherConfig(
            port=port, worker_addresses=names, work_dir=work_dir or None, fault_tolerant_mode=bool(work_dir)
        )
    )
    logging.warning("%s", _OPEN)
    print(f"dispatcher listens at {server.target}", flush=True)
    seen: set[str] = set()
    gone: set[str] = set()
    while True:
        time.sleep(_WATCH_S)
        for name in names:
            if is_reachable(name):
                if name in gone or name not in seen:
                    logging.info("worker %s is there", name)
                seen.add(name)
                gone.discard(name)
            elif name in seen - gone:
                gone.add(name)
                logging.warning("worker %s is gone, and what reads from it waits; start it again", name)


def serve_worker(dispatcher: str, address: str) -> None:
    """Runs a worker; does not return."""
    import tensorflow as tf

    from voc_tfdata.pipeline.data_service import read_address

    (host, port), (dispatcher_host, dispatcher_port) = read_address(address), read_address(dispatcher)
    service = tf.data.experimental.service
    server = service.WorkerServer(
        service.WorkerConfig(
            dispatcher_address=f"{dispatcher_host}:{dispatcher_port}",
            worker_address=f"{host}:{port}",
            port=port,
            heartbeat_interval_ms=_HEARTBEAT_MS,
            dispatcher_timeout_ms=_PATIENCE_MS,
        )
    )
    logging.warning("%s", _OPEN)
    print(f"worker listens at {host}:{port}", flush=True)
    while server:
        time.sleep(_WATCH_S)


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def run() -> None:
    """The command, with the flags of this process."""
    run_command(main)
