"""Checkpoints: exact, whole or absent, compared before they are restored."""

import os
import resource
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from training.runs import checkpoint, checkpoint_files

ROOT = Path(__file__).resolve().parents[3]


class Owner:
    def __init__(self, *values):
        self.variables = [tf.Variable(np.asarray(value)) for value in values]


def owners(seed=0):
    random = np.random.default_rng(seed)
    return {
        "network": Owner(random.normal(size=(3, 2)).astype(np.float32), np.float32(seed)),
        "optimizer": Owner(np.int64(7 + seed)),
    }


def values(state):
    return [v.numpy().tobytes() for owner in state.values() for v in owner.variables]


def test_restores_the_same_bytes(tmp_path):
    store = checkpoint.CheckpointStore(tmp_path)
    saved, other = owners(1), owners(2)
    store.save(40, saved)
    assert store.restore(other) == 40
    assert values(other) == values(saved)


def test_keeps_the_newest_and_restores_any_of_them(tmp_path):
    store = checkpoint.CheckpointStore(tmp_path, keep=2)
    for step in (10, 20, 30):
        store.save(step, owners(step))
    assert store.steps() == [20, 30]
    state = owners()
    assert store.restore(state, step=20) == 20
    assert values(state) == values(owners(20))
    with pytest.raises(checkpoint.CheckpointError, match=r"one of the steps \[20, 30\].*step=10"):
        store.restore(state, step=10)


def test_saving_a_step_again_replaces_it(tmp_path):
    store = checkpoint.CheckpointStore(tmp_path)
    store.save(10, owners(1))
    store.save(10, owners(2))
    state = owners()
    store.restore(state)
    assert values(state) == values(owners(2))


def test_a_subset_of_owners_can_be_restored_for_sampling(tmp_path):
    store = checkpoint.CheckpointStore(tmp_path)
    store.save(10, owners(1))
    part = {"network": owners(0)["network"]}
    store.restore(part, subset=True)
    assert values(part) == values({"network": owners(1)["network"]})
    with pytest.raises(checkpoint.CheckpointError, match="optimizer is only in the checkpoint"):
        store.restore(part)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda s: s.update(extra=Owner(1.0)), "extra is not in the checkpoint"),
        (lambda s: s["network"].variables.pop(), "network: 2 variables saved, 1 now"),
        (lambda s: s.update(network=Owner(np.zeros((3, 4)), 0.0)), r"shape \[3, 4\] now.*\[3, 2\]"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_assigned(tmp_path, change, message):
    store = checkpoint.CheckpointStore(tmp_path)
    store.save(10, owners(1))
    state = owners(0)
    change(state)
    before = values(state)
    with pytest.raises(checkpoint.CheckpointError, match=message):
        store.restore(state)
    assert values(state) == before


def test_an_empty_folder_is_named(tmp_path):
    with pytest.raises(checkpoint.CheckpointError, match="Expected a checkpoint in .*none"):
        checkpoint.CheckpointStore(tmp_path / "nothing").restore(owners())


def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(tmp_path):
    store = checkpoint.CheckpointStore(tmp_path)
    store.save(10, owners(1))
    store.save(20, owners(2))
    file = store.path(20) / checkpoint_files.VARIABLES
    file.write_bytes(file.read_bytes()[:-50])
    state = owners()
    assert store.restore(state) == 10
    assert values(state) == values(owners(1))
    file = store.path(10) / checkpoint_files.VARIABLES
    file.write_bytes(b"")
    with pytest.raises(checkpoint.CheckpointError, match="a readable checkpoint.*step 10"):
        store.restore(state)


def test_damaged_checkpoints_do_not_push_out_the_good_ones(tmp_path, caplog):
    store = checkpoint.CheckpointStore(tmp_path, keep=2)
    for step in (20, 30, 40):
        store.save(step, owners(step))
    store.keep = 3
    store.save(20, owners(20))
    store.keep = 2
    for step in (30, 40):
        (store.path(step) / checkpoint_files.VARIABLES).write_bytes(b"x")
    assert store.restore(owners()) == 20
    assert "step 40 is damaged" in caplog.text
    store.save(25, owners(25))
    assert store.steps() == [20, 25]
    assert store.restore(owners()) == 25


def test_non_finite_values_are_refused_and_earlier_checkpoints_stay(tmp_path):
    store = checkpoint.CheckpointStore(tmp_path)
    store.save(10, owners(1))
    broken = owners(2)
    broken["network"].variables[1].assign(np.nan)
    with pytest.raises(checkpoint.CheckpointError, match="network variable .* at step 20"):
        store.save(20, broken)
    assert store.steps() == [10]


def test_keep_is_checked():
    with pytest.raises(ValueError, match="keep must be at least 1.*keep=0"):
        checkpoint.CheckpointStore("x", keep=0)


def test_a_full_disk_leaves_the_last_checkpoint_and_says_so(tmp_path):
    store = checkpoint.CheckpointStore(tmp_path)
    store.save(10, owners(1))
    big = {"network": Owner(np.zeros(500_000, np.float32))}
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))  # writes beyond it fail
    try:
        with pytest.raises(
            checkpoint.CheckpointError, match="step 20 could not be written.*that of step 10"
        ):
            store.save(20, big)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert store.steps() == [10]
    assert [path.name for path in tmp_path.iterdir()] == ["step_00000010"]


def test_a_process_killed_while_it_saves_leaves_whole_checkpoints(tmp_path):
    """Kills at several moments of an endless series of saves; the newest is always readable."""
    script = textwrap.dedent(
        """
        import itertools, sys
        import numpy as np
        import tensorflow as tf
        from training.runs import checkpoint, checkpoint_files

        class Owner:
            variables = [tf.Variable(np.zeros(2_000_000, np.float32))]

        store = checkpoint.CheckpointStore(sys.argv[1], keep=2)
        for step in itertools.count(1):
            Owner.variables[0].assign(tf.fill([2_000_000], float(step)))
            store.save(step, {"network": Owner})
            print(step, flush=True)
        """
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    for saves in (1, 3, 4):
        child = subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment,
        )  # fmt: skip
        for _ in range(saves):
            child.stdout.readline()
        child.kill()  # SIGKILL: no handler runs
        child.wait()
        child.stdout.close()
        store = checkpoint.CheckpointStore(tmp_path)
        state = {"network": Owner(np.zeros(2_000_000, np.float32))}
        step = store.restore(state)
        assert (state["network"].variables[0].numpy() == step).all()
