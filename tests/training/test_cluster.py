import json

import pytest

from voc_tfdata.training.cluster import Cluster, find_cluster, parse_cluster

HOSTS = {"worker": ["a:1", "b:2"]}


def config(cluster: object = HOSTS, **task: object) -> str:
    return json.dumps({"cluster": cluster, "task": {"type": "worker", "index": 0, **task}})


def test_workers_are_numbered_as_they_stand() -> None:
    cluster = parse_cluster(config(index=1))
    assert cluster == Cluster({"worker": ("a:1", "b:2")}, "worker", 1)
    assert (cluster.host, cluster.num_hosts) == (1, 2)


def test_a_chief_comes_before_the_workers() -> None:
    jobs = {"worker": ["a:1", "b:2"], "chief": ["c:3"]}
    hosts = [
        parse_cluster(config(jobs, type=kind, index=i)) for kind, i in (("chief", 0), ("worker", 0), ("worker", 1))
    ]
    assert [(it.host, it.num_hosts) for it in hosts if it] == [(0, 3), (1, 3), (2, 3)]


@pytest.mark.parametrize("text", ["", "  ", "{}", '{"cluster": {}}', '{"task": {"type": "worker", "index": 0}}'])
def test_without_a_cluster_there_is_none(text: str) -> None:
    assert parse_cluster(text) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{cluster", "TF_CONFIG: the whole is no JSON.*expected: {"),
        ("[1]", "the whole is"),
        (config(["a:1"]), "cluster is.*expected"),
        (config({"ps": ["a:1"]}), "a job 'ps'; expected: the jobs worker"),
        (config({"worker": "a:1"}), 'cluster.worker is "a:1"; expected: a list of addresses "host:port"'),
        (config({"worker": ["a"]}), "cluster.worker.*host:port"),
        (config({"worker": ["a:0", "b:65536"]}), "cluster.worker.*host:port"),
        (config({"worker": ["http://a:1"]}), "cluster.worker.*host:port"),
        (config({"worker": ["a:1", "a:1"]}), "a:1 twice; expected: an address of its own"),
        (config({"chief": ["a:1", "b:2"]}, type="chief"), "cluster.chief.*one address"),
        (json.dumps({"cluster": HOSTS}), "task is null; expected: {"),
        (config(type="chief"), 'task.type is "chief"; expected: one of the jobs of the cluster: worker'),
        (config(index=2), "task.index is 2; expected: a number from 0 to 1"),
        (config(index="0"), 'task.index is "0"; expected: a number'),
        (config(index=True), "task.index is true"),
    ],
)
def test_what_is_wrong_is_named_with_what_is_expected(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_cluster(text)


def test_the_strategies_of_one_host_do_not_look_at_tf_config(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_CONFIG", config(index=1))
    assert [find_cluster(name) is None for name in ("none", "mirrored")] == [True, True]
    for name in ("auto", "multi_worker"):
        assert find_cluster(name) == Cluster({"worker": ("a:1", "b:2")}, "worker", 1)


def test_several_hosts_without_tf_config_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert find_cluster("auto") is None
    with pytest.raises(ValueError, match="'multi_worker' needs the hosts in the environment variable TF_CONFIG: {"):
        find_cluster("multi_worker")
