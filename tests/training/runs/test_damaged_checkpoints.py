"""Checkpoints with bits flipped and files cut: an older one is used, or all are refused."""

import io
import logging
import os
import random
import shutil
import tracemalloc
import zipfile

import numpy as np
import pytest
import tensorflow as tf

from tests.training.runs.test_checkpoint import owners, save_format_1, values
from training.runs import checkpoint

COUNTS = pytest.mark.parametrize(
    "count", [100, pytest.param(2000, marks=pytest.mark.slow)], ids=["some", "all"]
)


def flipped(whole, draw):
    damaged = bytearray(whole)
    damaged[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
    return bytes(damaged)


def cut(whole, draw):
    return whole[: draw.randrange(len(whole))]


@COUNTS
@pytest.mark.parametrize("damage", [flipped, cut])
@pytest.mark.parametrize("name", ["variables.safetensors", "manifest.json"])
def test_nothing_damaged_is_restored(name, damage, count, tmp_path, caplog):
    caplog.set_level(logging.CRITICAL)
    store = checkpoint.CheckpointStore(tmp_path)
    store.save(10, owners(1))
    file = store.save(20, owners(2), figures={"eval/psnr": 20.5}) / name
    whole, draw, state = file.read_bytes(), random.Random(0), owners(0)
    for _ in range(count):
        file.write_bytes(damage(whole, draw))
        assert store.restore(state, subset=True) == 10  # and leaves the damaged one where it is
        assert values(state) == values(owners(1))
        assert store.figures(20) in ({}, {"eval/psnr": 20.5})
    file.write_bytes(whole)
    assert store.restore(state) == 20


@COUNTS
@pytest.mark.parametrize("damage", [flipped, cut])
@pytest.mark.parametrize("name", ["variables.npz", "manifest.json"])
def test_damage_of_format_1_ends_in_a_whole_state_or_an_error(name, damage, count, tmp_path):
    """Its manifest has no hash; arrays have the checks of ZIP."""
    save_format_1(tmp_path, 20, owners(2))
    store, draw = checkpoint.CheckpointStore(tmp_path), random.Random(0)
    file = tmp_path / "step_00000020" / name
    whole = file.read_bytes()
    for _ in range(count):
        file.write_bytes(damage(whole, draw))
        state = owners(0)
        try:
            store.restore(state, subset=True)
        except checkpoint.CheckpointError:
            assert values(state) == values(owners(0))
        else:
            assert values(state) == values(owners(2))


def test_a_checkpoint_without_its_manifest_is_damaged_and_said(tmp_path, caplog):
    store = checkpoint.CheckpointStore(tmp_path)
    store.save(10, owners(1))
    (store.save(20, owners(2)) / "manifest.json").unlink()
    assert store.restore(owners(0)) == 10
    assert "step 20 is damaged" in caplog.text
    (store.path(10) / "manifest.json").unlink()
    with pytest.raises(checkpoint.CheckpointError, match="readable checkpoint.*step 10"):
        store.restore(owners(0))  # and not: a run without any


def test_values_that_are_not_finite_are_damage(tmp_path):
    state = owners(2)
    state["network"].variables[1].assign(np.nan)
    save_format_1(tmp_path, 10, owners(1))
    save_format_1(tmp_path, 20, state)
    assert checkpoint.CheckpointStore(tmp_path).restore(owners(0)) == 10


def test_a_newest_checkpoint_that_does_not_fit_gives_way_to_one_that_does(tmp_path, caplog):
    store, larger = checkpoint.CheckpointStore(tmp_path), owners(2)
    larger["network"].variables[0] = tf.Variable(np.zeros((5, 5), np.float32))
    store.save(10, owners(1))
    store.save(20, larger)
    state = owners(0)
    assert store.restore(state) == 10 and values(state) == values(owners(1))
    assert "step 20 does not fit" in caplog.text


@pytest.mark.parametrize("shape", [(10**15,), (1 << 26,)])
def test_headers_that_claim_more_than_fits_cost_no_memory(shape, tmp_path):
    save_format_1(tmp_path, 10, owners(1))
    save_format_1(tmp_path, 20, owners(2))
    file = tmp_path / "step_00000020" / "variables.npz"
    header = io.BytesIO()
    described = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, described)
    zeros = bytes(4 * shape[0] if shape[0] < 1 << 30 else 100)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:  # 256 MB in 260 kB
        archive.writestr("network/00000.npy", header.getvalue() + zeros)
    del zeros
    tracemalloc.start()
    assert checkpoint.CheckpointStore(tmp_path).restore(owners(0), subset=True) == 10
    assert tracemalloc.get_traced_memory()[1] < 10e6
    tracemalloc.stop()


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path):
    store = checkpoint.CheckpointStore(tmp_path)
    store.save(10, owners(1))
    for name in ("manifest.json", "variables.safetensors"):
        folder = store.save(20, owners(2))
        (folder / name).unlink()
        os.mkfifo(folder / name)
        assert store.restore(owners(0), subset=True) == 10
        shutil.rmtree(folder)
