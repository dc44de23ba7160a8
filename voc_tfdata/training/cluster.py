"""TF_CONFIG: which processes train together, and which of them this one is.

TF_CONFIG='{"cluster": {"worker": ["a:2222", "b:2222"]}, "task": {"type": "worker", "index": 0}}'

The form is that of tf.distribute.cluster_resolver.TFConfigClusterResolver; it is checked here, before TensorFlow waits
for processes that cannot come.
"""

from __future__ import annotations

import json
import os
from typing import NamedTuple

EXAMPLE = '{"cluster": {"worker": ["host-a:2222", "host-b:2222"]}, "task": {"type": "worker", "index": 0}}'
_JOBS = ("chief", "worker")  # that train; also their order


class Cluster(NamedTuple):
    """Processes that train together."""

    jobs: dict[str, tuple[str, ...]]  # "chief" (one, if there is one) and "worker": addresses host:port
    task_type: str  # of this process
    task_index: int

    @property
    def num_hosts(self) -> int:
        """How many processes there are."""
        return sum(len(addresses) for addresses in self.jobs.values())

    @property
    def host(self) -> int:
        """Which of them this one is, from 0; 0 writes the outputs."""
        before = len(self.jobs.get("chief", ())) if self.task_type == "worker" else 0
        return before + self.task_index


def find_cluster(strategy: str) -> Cluster | None:
    """Returns the hosts that --strategy is about: those of TF_CONFIG if it is auto or multi_worker, else None.

    Raises:
      ValueError: TF_CONFIG is malformed, or missing where it is needed.
    """
    if strategy not in ("auto", "multi_worker"):
        return None
    cluster = parse_cluster(os.environ.get("TF_CONFIG", ""))
    if cluster is None and strategy == "multi_worker":
        raise ValueError(f"strategy 'multi_worker' needs the hosts in the environment variable TF_CONFIG: {EXAMPLE}")
    return cluster


def parse_cluster(text: str) -> Cluster | None:
    """Returns what TF_CONFIG says, or None if it names no cluster.

    Args:
      text: value of TF_CONFIG; may be empty.

    Raises:
      ValueError: it is malformed; the message names the key and what is expected there.
    """
    if not text.strip():
        return None
    try:
        config = json.loads(text)
    except json.JSONDecodeError as err:
        raise _error("the whole", f"no JSON ({err})", EXAMPLE) from err
    if not isinstance(config, dict):
        raise _error("the whole", json.dumps(config), EXAMPLE)
    if not config.get("cluster"):
        return None
    jobs = _read_jobs(config["cluster"])
    task = config.get("task")
    if not isinstance(task, dict):
        raise _error("task", json.dumps(task), '{"type": "worker", "index": 0}')
    kind, index = task.get("type"), task.get("index")
    if not isinstance(kind, str) or kind not in jobs:
        raise _error("task.type", json.dumps(kind), f"one of the jobs of the cluster: {', '.join(jobs)}")
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(jobs[kind]):
        raise _error(
            "task.index", json.dumps(index), f"a number from 0 to {len(jobs[kind]) - 1}, another in each process"
        )
    return Cluster(jobs, kind, index)


def _read_jobs(cluster: object) -> dict[str, tuple[str, ...]]:
    if not isinstance(cluster, dict):
        raise _error("cluster", json.dumps(cluster), '{"worker": ["host-a:2222", "host-b:2222"]}')
    strangers = [name for name in cluster if name not in _JOBS]
    if strangers:
        raise _error("cluster", f"a job {strangers[0]!r}", "the jobs worker, and chief if one of them is named so")
    jobs: dict[str, tuple[str, ...]] = {}
    for name in _JOBS:
        addresses = cluster.get(name, [])
        if not isinstance(addresses, list) or not all(_is_address(address) for address in addresses):
            raise _error(f"cluster.{name}", json.dumps(addresses), 'a list of addresses "host:port"')
        if addresses:
            jobs[name] = tuple(addresses)
    if len(jobs.get("chief", ())) > 1:
        raise _error("cluster.chief", json.dumps(jobs["chief"]), "one address")
    everyone = [address for addresses in jobs.values() for address in addresses]
    twice = sorted({address for address in everyone if everyone.count(address) > 1})
    if twice:
        raise _error("cluster", f"{twice[0]} twice", "an address of its own for each process")
    return jobs


def _is_address(address: object) -> bool:
    if not isinstance(address, str):
        return False
    host, _, port = address.rpartition(":")
    return bool(host) and "/" not in host and port.isdecimal() and 0 < int(port) < 65536


def _error(key: str, found: str, expected: str) -> ValueError:
    return ValueError(f"TF_CONFIG: {key} is {found}; expected: {expected}")
