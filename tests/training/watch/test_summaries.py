"""What a run leaves to look at, read back the way TensorBoard reads it."""

import json
import time

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorboard.backend.event_processing import data_provider
from tensorboard.backend.event_processing import plugin_event_multiplexer as event_multiplexer
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator
from tensorboard.context import RequestContext
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups

from data.labels import label_maps
from training.kinds import classification, semantic
from training.runs import run_folder
from training.watch import contact_sheet, summaries

COLORS = [(10, 20, 30), (200, 100, 0)]
ENCODING = label_maps.LabelEncoding(2, class_colors=COLORS)


@pytest.fixture
def run(tmp_path):
    return run_folder.RunFolder(tmp_path)


def events(run):
    accumulator = EventAccumulator(
        str(run.tensorboard), tensor_size_guidance={}, size_guidance={"tensors": 0}
    )
    accumulator.Reload()
    return accumulator


def values(run, tag):
    return {e.step: float(tf.make_ndarray(e.tensor_proto)) for e in events(run).Tensors(tag)}


def description(run, tag):
    return events(run).SummaryMetadata(tag).summary_description


def test_curves_have_descriptions_and_evaluations_a_table(run):
    summary = summaries.Summaries(run)
    summary.start(0)
    summary.scalars(1, {"d/accuracy_real": 0.5, "unheard/of": 1.0})
    summary.evaluation(2, {"eval/overfitting": 0.25, "eval/class_diversity": 0.5})
    summary.close()
    assert "gets right" in description(run, "d/accuracy_real")
    assert description(run, "unheard/of") == ""
    assert values(run, "eval/overfitting") == {2: 0.25}
    (logged,) = events(run).Tensors("evaluation")
    text = logged.tensor_proto.string_val[0].decode()
    assert "| eval/overfitting | 0.25 |\n| eval/class_diversity | 0.5 |" in text
    assert [json.loads(line)["step"] for line in run.metrics.read_text().splitlines()] == [1, 2]


def test_settings_and_last_figures_fill_the_table_of_runs(run):
    """Asked for as the page of TensorBoard does."""
    for step, last in ((0, 5), (5, 9)):
        summary = summaries.Summaries(run, settings={"name": "a", "trainer.steps": "9"})
        summary.start(step, "name: a")
        summary.scalars(last, {"g/total": float(last)})
        summary.close()
        time.sleep(1.1)
    multiplexer = event_multiplexer.EventMultiplexer(tensor_size_guidance={"scalars": 0})
    multiplexer.AddRunsFromDirectory(str(run.path))
    multiplexer.Reload()
    provider = data_provider.MultiplexerDataProvider(multiplexer, str(run.path))
    context = backend_context.Context(base_plugin.TBContext(data_provider=provider))
    asked = api_pb2.ListSessionGroupsRequest(
        allowed_statuses=[api_pb2.STATUS_UNKNOWN, api_pb2.STATUS_RUNNING, api_pb2.STATUS_SUCCESS],
        slice_size=9, start_index=0,
    )  # fmt: skip
    nothing, experiment = RequestContext(), "e"
    tags = context.hparams_metadata(nothing, experiment)
    described = context.experiment_from_metadata(nothing, experiment, True, tags, {})
    handler = list_session_groups.Handler(nothing, context, experiment, asked)
    (group,) = handler.run().session_groups
    assert {n: v.string_value for n, v in group.hparams.items()} == {
        "name": "a", "trainer.steps": "9",
    }  # fmt: skip
    assert {info.name for info in described.hparam_infos} == {"name", "trainer.steps"}
    found = {value.name.tag: value.value for value in group.sessions[0].metric_values}
    assert found["g/total"] == 9.0


def test_scalars_reach_tensorboard_and_the_plain_file(run):
    summary = summaries.Summaries(run)
    summary.start(0, "name: test")
    summary.scalars(10, {"g/total": 1.5, "learning_rate/generator": 1e-4})
    summary.close()
    assert values(run, "g/total") == {10: 1.5}
    (config,) = events(run).Tensors("config")
    assert b"name: test" in config.tensor_proto.string_val[0]
    (line,) = run.metrics.read_text().splitlines()
    assert json.loads(line) == {"step": 10, "g/total": 1.5, "learning_rate/generator": 0.0001}


def test_what_a_killed_process_wrote_beyond_its_checkpoint_is_forgotten(run):
    summary = summaries.Summaries(run)
    summary.start(0)
    for step in (10, 20, 30):
        summary.scalars(step, {"g/total": float(step)})
    summary.close()
    time.sleep(1.1)  # event files are read in the order of the second in their names
    again = summaries.Summaries(run)
    again.start(20)
    again.scalars(40, {"g/total": 4.0})
    again.close()
    assert values(run, "g/total") == {10: 10.0, 20: 20.0, 40: 4.0}
    # A file for each process: those of one second have no sure order.
    assert len([*run.tensorboard.iterdir()]) == 2
    assert [json.loads(line)["step"] for line in run.metrics.read_text().splitlines()] == [
        10, 20, 40,
    ]  # fmt: skip


def test_a_sheet_shows_maps_in_class_colours_and_images_to_the_pixel(run):
    summary = summaries.Summaries(
        run, kind=semantic.Semantic(), colorize=ENCODING.colors_of,
        legend=dict(zip(("wall", "window"), COLORS, strict=True)),
    )  # fmt: skip
    summary.start(0)
    image = np.linspace(-1, 1, 2 * 20 * 30 * 3).reshape(2, 20, 30, 3).astype(np.float32)
    label_map = np.zeros([2, 20, 30], np.uint8)
    label_map[1, :, 5] = 1
    label_map[0, 3, 3] = 255
    path = summary.sheet(7, {"label_map": label_map, "image": image}, {"generated": -image})
    summary.close()
    sheet = np.asarray(Image.open(path))

    def tile(row, column):
        left, top = contact_sheet.tile_corner(row, column, 20, 30)
        return sheet[top : top + 20, left : left + 30]

    assert tuple(tile(0, 0)[0, 0]) == COLORS[0] and tuple(tile(1, 0)[4, 5]) == COLORS[1]
    assert tuple(tile(0, 0)[3, 3]) == (0, 0, 0)
    np.testing.assert_array_equal(tile(1, 1), np.round((image[1] + 1) * 127.5).astype(np.uint8))
    np.testing.assert_array_equal(tile(1, 2), np.round((1 - image[1]) * 127.5).astype(np.uint8))
    (logged,) = events(run).Tensors("samples")
    assert logged.step == 7
    large = tf.io.decode_png(tf.make_ndarray(logged.tensor_proto)[2]).numpy()
    left, top = contact_sheet.tile_corner(1, 1, 7 * 20, 7 * 30)  # 20 px are seven times as large
    cell = large[top : top + 140, left : left + 210]
    np.testing.assert_array_equal(cell[::7, ::7], tile(1, 1))
    np.testing.assert_array_equal(cell[6::7, 6::7], tile(1, 1))
    legend = large[contact_sheet.tile_corner(2, 0, 140, 210)[1] - contact_sheet.GAP :]
    assert len(legend) == contact_sheet.CAPTION_HEIGHT
    for number, color in enumerate(COLORS):
        assert tuple(legend[8, number * contact_sheet.LEGEND_WIDTH + 8]) == color
    assert "label map, real, generated" in description(run, "samples")


def test_previews_of_class_ids_are_coloured(run):
    summary = summaries.Summaries(run, colorize=ENCODING.colors_of)
    summary.start(0)
    ids = tf.constant(np.arange(1200).reshape(2, 20, 30) % 2, tf.int32)
    path = summary.sheet(7, {"image": np.zeros([2, 20, 30, 3], np.float32)}, {"predicted": ids})
    summary.close()
    left, top = contact_sheet.tile_corner(1, 1, 20, 30)
    tile = np.asarray(Image.open(path))[top : top + 20, left : left + 30]
    np.testing.assert_array_equal(tile, np.array(COLORS)[ids[1]])


def test_a_picture_is_named_by_its_tag(run):
    summary = summaries.Summaries(run)
    summary.start(0)
    picture = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    path = summary.picture(7, "eval/confusion", picture)
    summary.close()
    assert path == run.samples / "step_00000007_confusion.png"
    np.testing.assert_array_equal(Image.open(path), picture)
    (logged,) = events(run).Tensors("eval/confusion")
    png = tf.make_ndarray(logged.tensor_proto)[2]
    np.testing.assert_array_equal(tf.io.decode_png(png), picture)


def test_rows_of_class_data_have_titles_and_masks_a_sheet_of_their_own(run):
    summary = summaries.Summaries(
        run, kind=classification.Classification(), image_class_names=("cat", "dog")
    )
    summary.start(0)
    image = np.linspace(-1, 1, 2 * 20 * 30 * 3).reshape(2, 20, 30, 3).astype(np.float32)
    masks = {f"masks/{name}": np.ones([2, 8, 8, 3], np.float32) * 0.5 for name in ("00", "01")}
    batch = {"label": np.array([1, 0]), "image": image}
    path = summary.sheet(7, batch, {"generated": -image} | masks)
    summary.close()
    sheet = np.asarray(Image.open(path))
    margin = contact_sheet.ROW_TITLE_WIDTH
    left, top = contact_sheet.tile_corner(1, 1, 20, 30, margin)
    np.testing.assert_array_equal(
        sheet[top : top + 20, left : left + 30], np.round((1 - image[1]) * 127.5).astype(np.uint8)
    )
    titles = [sheet[contact_sheet.tile_corner(row, 0, 20, 30)[1] :][:20, :margin] for row in (0, 1)]
    assert (titles[0] < 128).any() and not np.array_equal(*titles)
    assert {"samples", "masks"} <= set(events(run).Tags()["tensors"])
    small = np.asarray(Image.open(run.samples / "step_00000007_masks.png"))
    assert small.shape[1] == margin + 2 * (8 + contact_sheet.GAP) - contact_sheet.GAP


def test_histograms_are_written_on_request(run):
    class Owner:
        variables = [tf.Variable([1.0, 2.0], name="kernel")]

    for wanted in (False, True):
        summary = summaries.Summaries(run, histograms=wanted)
        summary.start(0)
        summary.weights(5, {"generator": Owner})
        summary.close()
        tags = events(run).Tags()["tensors"]
        assert ("generator/kernel:0" in tags) is wanted


def test_bytes_round_and_clip():
    np.testing.assert_array_equal(
        contact_sheet.to_uint8(np.array([-2.0, -1.0, -0.999, 0.0, 1.0, 3.0])),
        [0, 0, 0, 128, 255, 255],
    )
    pixels = np.array([3, 4], np.uint8)
    assert contact_sheet.to_uint8(pixels) is pixels
