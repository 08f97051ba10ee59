"""Two replicas equal one, and two workers on loopback train one model."""

import json
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers import distribution, tiny, tiny_gan
from training.loop import devices
from training.tasks import averaging


def test_two_replicas_equal_one_after_a_step():
    """Every variable, averages and batch statistics included; noise is the same on both sides."""
    batch = tiny_gan.make_batch(size=4)
    noise = tf.random.stateless_normal([4, 5], [0, 1])

    def make_task():
        # Fixed noise: a replica's own noise depends on the replica, so it is handed in instead.
        task = tiny_gan.make_task(terms=True, averaging=averaging.WeightAveraging())
        task.objective.discriminator_terms.clear()
        tiny_gan.take_noise_from_batch(task)
        return task

    batch["noise"] = noise
    single = make_task()
    single.train_step([batch], tiny_gan.SEED)
    single.after_step({})

    strategy = distribution.two_replicas()
    with strategy.scope():
        double = make_task()
        parts = [{k: v[:2] for k, v in batch.items()}, {k: v[2:] for k, v in batch.items()}]
        shares = strategy.experimental_distribute_values_from_function(
            lambda context: parts[context.replica_id_in_sync_group]
        )

        @tf.function
        def step(share):
            strategy.run(double.train_step, args=([share], tiny_gan.SEED))
            double.after_step({})

        step(shares)
    compared = 0
    for name, owner in single.state().items():
        for one, two in zip(owner.variables, double.state()[name].variables, strict=True):
            np.testing.assert_allclose(one.numpy(), two.numpy(), atol=1e-5, err_msg=one.name)
            compared += 1
    assert compared > 10


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for item in sockets:
        item.bind(("127.0.0.1", 0))
    ports = [item.getsockname()[1] for item in sockets]
    for item in sockets:
        item.close()
    return ports


def start_workers(output_root, data_root, *overrides):
    ports = free_ports(2)
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    command = [
        sys.executable, str(tiny.ROOT / "train.py"), *tiny.OVERRIDES,
        *tiny.data_overrides(data_root), f"output_root={output_root}", "debug=few_steps",
        "devices.strategy=multi_worker", "summaries.rows=2",
        "task.averaging.calibration_batches=1", *overrides,
    ]  # fmt: skip
    return [
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=tiny.environment() | {"TF_CONFIG": json.dumps(
                {"cluster": cluster, "task": {"type": "worker", "index": index}}
            )},
        )
        for index in range(2)
    ]  # fmt: skip


@pytest.mark.slow
def test_two_workers_train_one_run_and_stop_together(tmp_path):
    """The signal reaches one worker; both leave, and the chief alone has written."""
    data_root = tiny.write_data(tmp_path / "data")
    workers = start_workers(tmp_path / "out", data_root, "trainer.steps=100000")
    while not list((tmp_path / "out").glob("*/*/checkpoints/step_*")):
        assert all(worker.poll() is None for worker in workers), workers[0].communicate()[0]
        time.sleep(0.1)
    workers[1].send_signal(signal.SIGTERM)
    outputs = [worker.communicate(timeout=120)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [128 + signal.SIGTERM] * 2, outputs
    runs = {path.parent for path in (tmp_path / "out").glob("*/*/checkpoints")}
    assert len(runs) == 1
    assert "To go on: python train.py resume=" in outputs[0]


@pytest.mark.slow
def test_an_error_of_one_worker_ends_all_of_them(tmp_path):
    """Which of the two reads a bad file depends on the order; neither waits for the other."""
    data_root = tiny.write_data(tmp_path / "data")
    workers = start_workers(
        tmp_path / "out", data_root, "trainer.steps=100000", "data.cache.kind=none",
        "trainer.preview_every_steps=0",
    )  # fmt: skip
    while not list((tmp_path / "out").glob("*/*/checkpoints/step_*")):
        assert all(worker.poll() is None for worker in workers), workers[0].communicate()[0]
        time.sleep(0.1)
    for path in sorted(data_root.rglob("photos/train/**/*.jpg"))[::3]:
        path.write_bytes(b"")
    outputs = [worker.communicate(timeout=120)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [1, 1], outputs
    assert any("cannot be read: " in output and "photos/train/" in output for output in outputs)


def test_a_cluster_must_be_described(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(ValueError, match="no TF_CONFIG.*Set it on every machine"):
        devices.make_strategy("multi_worker")


@pytest.mark.parametrize(
    "task, chief_in_cluster, expected",
    [
        ({"type": "worker", "index": 0}, False, True),
        ({"type": "worker", "index": 1}, False, False),
        ({"type": "chief", "index": 0}, True, True),
        ({"type": "worker", "index": 0}, True, False),
    ],
)
def test_the_chief_is_known_from_the_cluster(monkeypatch, task, chief_in_cluster, expected):
    cluster = {"worker": ["a:1", "b:1"]} | ({"chief": ["c:1"]} if chief_in_cluster else {})
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": task}))
    assert devices.is_chief("multi_worker") is expected
    assert devices.is_chief("mirrored")


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"strategy": "many"}, "strategy must be one of.*'many'"),
        ({"device": "tpu"}, "device must be one of.*'tpu'"),
        ({"device": "gpu"}, "Expected a GPU.*make setup GPU=1"),
    ],
)
def test_devices_that_are_not_there_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        devices.make_strategy(**settings)


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="precision must be one of.*'float8'"):
        devices.set_precision("float8")
