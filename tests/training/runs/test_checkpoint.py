"""Checkpoints: exact, whole or absent, compared before they are restored."""

import hashlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from training.runs import checkpoint, checkpoint_files, provenance

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


@pytest.mark.slow
def test_a_process_killed_while_it_saves_leaves_whole_checkpoints(tmp_path):
    """Kills at several moments of an endless series of saves; the newest is always readable."""
    script = textwrap.dedent(
        """
        import itertools, sys
        import numpy as np
        import tensorflow as tf
        from training.runs import checkpoint, checkpoint_files, provenance

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


# --- Format 2, and format 1 as it was ------------------------------------------------------------


def save_format_1(folder, step, state):
    """A checkpoint as version 0.1.0 wrote it."""
    path = folder / f"step_{step:08d}"
    path.mkdir(parents=True)
    listed, arrays = {}, {}
    for name, owner in state.items():
        listed[name] = [[f"old/{i}", list(v.shape)] for i, v in enumerate(owner.variables)]
        arrays |= {f"{name}/{i:05d}": v.numpy() for i, v in enumerate(owner.variables)}
    np.savez(path / "variables.npz", **arrays)
    manifest = {"step": step, "tensorflow": "2.21.0", "owners": listed}
    (path / "manifest.json").write_text(json.dumps(manifest, indent=1))


def test_the_manifest_says_what_wrote_it_and_what_is_in_it(tmp_path):
    store = checkpoint.CheckpointStore(tmp_path)
    folder = store.save(10, owners(1), figures={"eval/psnr": 20.5, "eval/fid": float("nan")})
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["format"] == 2 and manifest["step"] == 10
    assert manifest["provenance"] == provenance.provenance()
    written = (folder / "variables.safetensors").read_bytes()
    assert manifest["variables"] == {
        "bytes": len(written), "sha256": hashlib.sha256(written).hexdigest(),
    }  # fmt: skip
    described = [entry[1:] for entry in manifest["owners"]["network"]]
    assert described == [[[3, 2], "float32"], [[], "float32"]]
    assert manifest["owners"]["optimizer"][0][1:] == [[], "int64"]
    assert manifest["figures"] == store.figures(10) == {"eval/psnr": 20.5}


def test_checkpoints_of_format_1_are_read_and_followed_by_those_of_format_2(tmp_path):
    save_format_1(tmp_path, 10, owners(1))
    store, state = checkpoint.CheckpointStore(tmp_path), owners(2)
    assert store.restore(state) == 10
    assert values(state) == values(owners(1))
    store.save(20, owners(3))
    assert store.restore(state) == 20
    other = owners(1)
    other["optimizer"].variables = [tf.Variable(np.int32(8))]
    before = values(other)
    with pytest.raises(checkpoint.CheckpointError, match="optimizer: .* int32 now, int64 saved"):
        store.restore(other, step=10)
    assert values(other) == before


class Named:
    def __init__(self, **variables):
        self.variables = [
            KerasVariable(value, path.replace("__", "/")) for path, value in variables.items()
        ]


class KerasVariable:
    """A variable with the path that Keras gives it."""

    def __init__(self, value, path):
        self.variable, self.path = tf.Variable(value), path
        self.shape, self.dtype, self.name = self.variable.shape, self.variable.dtype, path
        self.numpy, self.assign = self.variable.numpy, self.variable.assign


def test_names_are_compared_without_the_numbers_that_keras_counts_on(tmp_path):
    store, one, two = checkpoint.CheckpointStore(tmp_path), np.float32(1), np.float32(2)
    store.save(10, {"net": Named(net__conv_1__kernel=one, net__conv_2__kernel=two)})
    state = {"net": Named(net_3__conv_7__kernel=two, net_3__conv_9__kernel=one)}
    assert store.restore(state) == 10
    assert [v.numpy() for v in state["net"].variables] == [1, 2]
    for other in (
        Named(net__conv_1__kernel=two, net__conv_1__bias=two),
        Named(net__conv_1__kernel=two, net__conv_1__kernel_=two),
        Named(net__dense_1__kernel=two, net__conv_1__kernel=two),
        Named(net__conv_1__kernel=two, net_1__conv_2__kernel=two),
    ):
        with pytest.raises(checkpoint.CheckpointError, match="net: .* saved in its place"):
            store.restore({"net": other})
        assert [v.numpy() for v in other.variables] == [2, 2]


def test_another_dtype_is_named_and_nothing_is_assigned(tmp_path):
    store = checkpoint.CheckpointStore(tmp_path)
    store.save(10, owners(1))
    state = owners(2)
    state["optimizer"].variables = [tf.Variable(np.int32(8))]
    before = values(state)
    with pytest.raises(checkpoint.CheckpointError, match="optimizer: .* is int32 now, int64 saved"):
        store.restore(state)
    assert values(state) == before


def test_an_owner_without_variables_need_not_have_been_there(tmp_path):
    store = checkpoint.CheckpointStore(tmp_path)
    store.save(10, owners(1) | {"empty": Owner()})
    assert store.restore(owners()) == 10
    assert store.restore(owners() | {"later": Owner()}) == 10


def change(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def swap(folder):
    """The variables of the older checkpoint under the manifest of this one."""
    older = folder.parent / "step_00000010" / "variables.safetensors"
    (folder / "variables.safetensors").write_bytes(older.read_bytes())


def flip(path, position):
    data = bytearray(path.read_bytes())
    data[position] ^= 16
    path.write_bytes(data)


MANIFEST, VARIABLES = checkpoint_files.MANIFEST, checkpoint_files.VARIABLES


@pytest.mark.parametrize(
    "damage, reason",
    [
        (lambda f: flip(f / VARIABLES, -1), "variables.safetensors is not as it was written"),
        (lambda f: flip(f / VARIABLES, 20), "variables.safetensors is not as it was written"),
        (swap, "variables.safetensors is not as it was written"),
        (lambda f: (f / VARIABLES).write_bytes(b"x"), r"has 1 bytes; \d+ were written"),
        (lambda f: (f / VARIABLES).unlink(), "No such file"),
        (lambda f: change(f / MANIFEST, "float32", "float16"), "manifest.json is not as it was"),
        (lambda f: change(f / MANIFEST, "20.5", "21.5"), "manifest.json is not as it was"),
        (lambda f: change(f / MANIFEST, '"format": 2', '"format": 1'), "No such file"),
        (lambda f: change(f / MANIFEST, '"format": 2', '"format": 3'), "later version"),
        (lambda f: change(f / MANIFEST, '"format"', '"formed"'), "No such file"),
        (lambda f: (f / MANIFEST).write_text("[]"), "manifest.json is not one of a checkpoint"),
        (lambda f: (f / MANIFEST).write_text("null"), "manifest.json is not one of a checkpoint"),
        (lambda f: (f / MANIFEST).write_text("[" * 100_000), "recursion"),
        (lambda f: (f / MANIFEST).write_text('{"owners": {"network": 5}, "step": 20}'), "not list"),
        (lambda f: (f / MANIFEST).write_bytes(b"\xff\xfe"), "utf-8"),
        (lambda f: shutil.copytree(f.parent / "step_00000010", f, dirs_exist_ok=True),
         "manifest.json is that of step 10"),
    ],
)  # fmt: skip
def test_whatever_is_wrong_the_older_one_is_used_and_the_reason_said(
    tmp_path, caplog, damage, reason
):
    store = checkpoint.CheckpointStore(tmp_path)
    store.save(10, owners(1))
    folder = store.save(20, owners(2), figures={"eval/psnr": 20.5})
    damage(folder)
    state = owners(0)
    assert store.restore(state) == 10
    assert values(state) == values(owners(1))
    assert re.search(f"step 20 is damaged: .*{reason}", caplog.text)
    assert "step 10 is used in its place" in caplog.text
    assert store.steps() == [10]


def test_damage_of_format_1_is_survived_too(tmp_path):
    save_format_1(tmp_path, 10, owners(1))
    save_format_1(tmp_path, 20, owners(2))
    file = tmp_path / "step_00000020" / "variables.npz"
    whole = file.read_bytes()
    random = np.random.default_rng(0)
    for position in [*random.integers(0, len(whole), 60), 6]:  # 6: the flags of the first member
        damaged = bytearray(whole)
        damaged[position] ^= 1 << random.integers(0, 8)
        file.write_bytes(damaged)
        state = owners(0)
        step = checkpoint.CheckpointStore(tmp_path).restore(state, subset=True)  # leaves it there
        assert values(state) == values(owners(step // 10))


def test_folders_that_are_no_checkpoints_are_left_alone(tmp_path):
    store = checkpoint.CheckpointStore(tmp_path, keep=1)
    store.save(10, owners(1))
    strays = ["step_final", "step_00000010 (copy)", "step_10", "step_00000010.bak", "step_"]
    for name in strays:
        shutil.copytree(store.path(10), tmp_path / name)
    assert store.steps() == [10]
    store.save(20, owners(2))
    assert store.steps() == [20] and store.restore(owners()) == 20
    assert {path.name for path in tmp_path.iterdir()} == {*strays, "step_00000020"}
