"""Files that break while a run trains on them: named and saved, or passed over and counted."""

import functools
import itertools
import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from data import pipeline
from data.images import decoded_cache
from data.labels import label_maps
from data.sources import paired_folders, photo_folder
from tests.helpers import class_data, image_files, pairs, tfds_data
from tests.training.loop.test_trainer import FiveLineTask, total
from training.loop import trainer
from training.runs import checkpoint, run_folder
from training.watch import summaries

BATCH, STEPS, BREAKS_AT = 3, 24, 8


def paired(root, **settings):
    image_files.write_folder(root, {"train": 7, "validation": 3}, (10, 8), pairs.CLASSES, ("a",))
    return pairs.make(root, **settings), root / "photos/train/a/002.png"


def labelled(root, **settings):
    class_data.write_set(root)
    return class_data.make(root, **settings), root / "train/eel/02.png"


def photographs(root, **settings):
    class_data.write(root, *(f"train/{i}.bmp" for i in range(7)), "validation/0.png")
    source = photo_folder.PhotoFolder(root, splits=None)
    kind, folder = settings.pop("kind"), settings.pop("tmp_path", None)
    cache = decoded_cache.CacheSettings(kind, folder)
    made = pipeline.ImagePipeline(source, class_data.SIZE, cache=cache, seed=5, **settings)
    return made, next(root / f"{r.name}.bmp" for r in source.records("train")[2:])


def packed(root, **settings):
    tfds_data.TesseraTiny(data_dir=root).download_and_prepare()
    made = tfds_data.make(root, **settings)
    return made, next(root.rglob("*train.tfrecord*"))


SOURCES = {f.__name__: f for f in (paired, labelled, photographs)}


def removed(path):
    path.unlink()


def emptied(path):
    path.write_bytes(b"")


def truncated(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def replaced(path):
    path.write_bytes(os.urandom(path.stat().st_size))


def cases(fast, *others):
    """All pairs of sources and others; the suite that is always run has those of `fast`."""
    return [
        pytest.param(name, other, marks=[] if (name, other) in fast else [pytest.mark.slow])
        for name in SOURCES
        for other in others
    ]


class ReadsAtSaves(FiveLineTask):
    """Every save and evaluation reads each item, as the calibration of averaged weights may.

    So a fault is met, however far the batches were read ahead when it came.
    """

    def prepare_generation(self, batches):
        self.prepared.append([b["x"] for b in itertools.islice(batches, 4)])


def fit(folder, data, *, steps=STEPS, at=None, breaks_at=BREAKS_AT, task=None):
    """A run; what `at` does happens after the step `breaks_at`."""
    folder.mkdir(exist_ok=True)
    run, task = run_folder.RunFolder(folder), task or ReadsAtSaves()

    def evaluate():
        if int(task.variables[1].numpy()) == breaks_at and at is not None:
            at()
        return {}, {}

    made = trainer.Trainer(
        steps=steps, batch_size=BATCH, seed=3, steps_per_call=4, log_every_steps=4,
        checkpoint_every_steps=100, preview_every_steps=0, evaluate_every_steps=4,
    )  # fmt: skip
    made.fit(
        task, made.reader(data),
        store=checkpoint.CheckpointStore(run.checkpoints), summary=summaries.Summaries(run),
        evaluate=evaluate, preprocess=lambda b: {"x": tf.reduce_mean(b["image"], [1, 2, 3])},
        batch_names=lambda number: data.batch_names(number, BATCH),
        mend=lambda number: data.mend_batch(number, BATCH),
    )  # fmt: skip
    return task


def saved(folder):
    return checkpoint.CheckpointStore(folder / "checkpoints").steps()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")

    @functools.cache
    def of(name):
        return total(fit(folder / f"run_{name}", SOURCES[name](folder / name, kind="none")[0]))

    return of


@pytest.mark.parametrize(
    ("name", "fault"),
    cases(
        [("paired", removed)],
        removed, emptied, truncated, replaced,
    ),
)  # fmt: skip
def test_a_bad_file_is_named_and_the_state_before_it_saved(tmp_path, undisturbed, name, fault):
    """Resumed with the file put back, the run ends with the bytes of one without a fault."""
    data, path = SOURCES[name](tmp_path / "set", kind="none")
    content = path.read_bytes()
    with pytest.raises(ValueError, match=f"Received: .*{path.name}.*on_bad_item=skip"):
        fit(tmp_path / "run", data, at=lambda: fault(path))
    (step,) = saved(tmp_path / "run")
    assert BREAKS_AT <= step < STEPS
    path.write_bytes(content)
    resumed = fit(tmp_path / "run", SOURCES[name](tmp_path / "set", kind="none")[0])
    assert total(resumed) == undisturbed(name)


@pytest.mark.parametrize(
    ("name", "kind"),
    cases([("labelled", "file")], "none", "memory", "file"),
)
def test_a_skipped_file_is_said_once_and_resume_stays_exact(tmp_path, caplog, name, kind):
    """Bad from the start, so that both runs know the same bad files."""
    settings = {"kind": kind, "on_bad_item": "skip"}

    def data(folder):
        key = "folder" if name == "labelled" else "tmp_path"
        made, path = SOURCES[name](tmp_path / "set", **{key: tmp_path / folder}, **settings)
        emptied(path)
        return made, path

    made, path = data("cache")
    whole = fit(tmp_path / "whole", made)
    said = [m for m in caplog.messages if "another takes its place" in m]
    assert len(said) == 1 and path.name in said[0]
    fit(tmp_path / "cut", data("cache")[0], steps=7)
    assert total(fit(tmp_path / "cut", data("other")[0])) == total(whole)


@pytest.mark.slow
@pytest.mark.parametrize("name", SOURCES)
def test_more_than_one_percent_ends_the_run(tmp_path, name):
    data, path = SOURCES[name](tmp_path / "set", kind="none", on_bad_item="skip")
    others = [other for other in path.parent.glob(f"*{path.suffix}") if other != path]
    others = others or [path.parents[1] / "cat/00.png"]
    with pytest.raises(ValueError, match="At most 1 of the .* items.*Received: another one"):
        fit(tmp_path / "run", data, at=lambda: [emptied(path), emptied(others[0])])
    assert saved(tmp_path / "run")[-1] >= BREAKS_AT


@pytest.mark.slow
def test_packed_records_are_named_by_their_file(tmp_path):
    data, path = packed(tmp_path / "set", kind="none")
    content = path.read_bytes()
    with pytest.raises(ValueError, match=f"Received: .*{path.name}#"):
        fit(tmp_path / "run", data, at=lambda: replaced(path))
    assert saved(tmp_path / "run")
    path.write_bytes(content)
    whole = fit(tmp_path / "whole", packed(tmp_path / "other", kind="none")[0])
    assert total(fit(tmp_path / "run", data)) == total(whole)


def exchanged(path):
    """With that of another item: whole, and another image."""
    files = sorted(path.parents[1].rglob("*.uint8"))
    path.write_bytes(files[(files.index(path) + 1) % len(files)].read_bytes())


@pytest.mark.parametrize(
    "fault",
    [
        exchanged,
        *(pytest.param(f, marks=pytest.mark.slow) for f in (emptied, removed, replaced, truncated)),
    ],
)
def test_a_damaged_cache_is_made_anew_and_changes_nothing(tmp_path, undisturbed, caplog, fault):
    data, _ = paired(tmp_path / "set", tmp_path=tmp_path / "cache", kind="file")
    store = data._store("train")._store

    def damage():
        for path in store._files[:3]:
            fault(path)

    task = fit(tmp_path / "run", data, at=damage)
    assert total(task) == undisturbed("paired")
    assert len([m for m in caplog.messages if "is made anew" in m]) == 3


def test_a_cache_that_breaks_again_ends_the_run(tmp_path):
    data, _ = paired(tmp_path / "set", tmp_path=tmp_path / "cache", kind="file")
    path = data._store("train")._store._files[0]
    items = data._store("train")
    replaced(path)
    assert items.mend([0]) and not items.mend([0])
    replaced(path)
    with pytest.raises(ValueError, match=f"Received: .*{path.name}, damaged again"):
        items.mend([0])


def test_a_damaged_cache_is_named_to_commands(tmp_path):
    data, _ = paired(tmp_path / "set", tmp_path=tmp_path / "cache", kind="file")
    path = data._evaluation_store("validation")._store._files[1]
    replaced(path)
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"{path.name}.*Remove the file"):
        list(data.evaluation_dataset("validation", 1))
    rows = data.reading("validation", lambda: list(data.evaluation_dataset("validation", 1)))
    assert len(rows) == 3


@pytest.mark.parametrize("rule", ["stop", pytest.param("skip", marks=pytest.mark.slow)])
@pytest.mark.parametrize(  # of TensorFlow's decoder, of Pillow
    "name", ["labelled", pytest.param("photographs", marks=pytest.mark.slow)]
)
def test_a_bad_validation_item_is_named_or_passed_over(tmp_path, caplog, name, rule):
    settings = {} if name == "photographs" else {"check": "none"}
    data, _ = SOURCES[name](tmp_path / "set", kind="none", on_bad_item=rule, **settings)
    photos = [record.photo for record in data.source.records("validation")]
    if len(photos) == 1:  # nothing could take its place
        class_data.write(tmp_path / "set", *(f"validation/{i}.bmp" for i in range(300)))
        data, _ = SOURCES[name](tmp_path / "set", kind="none", on_bad_item=rule)
        photos = [record.photo for record in data.source.records("validation")]
    path = pathlib.Path(photos[-1])
    emptied(path)
    if rule == "stop":
        with pytest.raises(ValueError, match=f"Received: .*{path.name}"):
            data.examples("validation")
        return
    _, batch = data.examples("validation")
    np.testing.assert_array_equal(batch["image"][-1], batch["image"][0])
    assert len([m for m in caplog.messages if path.name in m]) == 1


def test_a_label_map_changed_under_the_same_size_and_time_is_read_anew(tmp_path):
    data, _ = paired(tmp_path / "set", tmp_path=tmp_path / "cache", kind="file")
    before = data.examples("validation")[1]["label_map"]
    path = tmp_path / "set/labels/validation/a/000.bmp"
    status = os.stat(path)
    path.write_bytes(image_files.bmp_bytes(np.full((10, 8), 3, np.uint8)))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert os.stat(path).st_size == status.st_size
    again = pairs.make(tmp_path / "set", tmp_path / "cache", "file")
    after = again.examples("validation")[1]["label_map"].numpy()
    assert (after[0] == 3).all() and not (before.numpy()[0] == 3).all()
    np.testing.assert_array_equal(after[1:], before[1:])


def test_a_check_reads_such_a_map_anew_too(tmp_path):
    root = image_files.write_folder(tmp_path, {"train": 3}, (10, 8), pairs.CLASSES)
    encoding = label_maps.LabelEncoding(pairs.CLASSES)
    pairs.make(root, encoding=encoding, source=paired_folders.PairedFolders(root)).check()
    path = root / "labels/train/001.bmp"
    status = os.stat(path)
    path.write_bytes(image_files.bmp_bytes(np.full((10, 8), 9, np.uint8)))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(ValueError, match="value 9 in 1 files.*001.bmp"):
        pairs.make(root, encoding=encoding, source=paired_folders.PairedFolders(root)).check()


def test_the_rule_is_checked():
    with pytest.raises(ValueError, match="one of .*Received: data.on_bad_item='drop'"):
        pipeline.ImagePipeline(photo_folder.PhotoFolder("x"), [4, 4], on_bad_item="drop")
