"""The benchmark command: the right rows, variants that really differ, clear errors; no timings."""

import types

import numpy as np
import pytest
import tensorflow as tf
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from scripts import benchmark
from scripts.benchmarking import input_pipelines, operations, step, timers, variants, workers
from tests.helpers import measured, tiny
from training.runs import run_config

SCRIPT = "scripts/benchmark.py"
SMALL_NETWORKS = [
    *tiny.OVERRIDES,
    "generator.multipliers=[2,1]",
    "generator.upsample=[true,true]",
    "discriminator.depth=2",
    "discriminator.scales=1",
    "task.averaging=null",
]


@pytest.fixture(scope="module")
def data_root(tmp_path_factory):
    return tiny.write_data(tmp_path_factory.mktemp("data") / "facades")


# --- step -------------------------------------------------------------------------------------


def variants_of(printed):
    """{name: {column: cell}} of the printed table."""
    header, *table = measured.rows(printed).items()
    assert header == ("variant", [
        "precision", "generator passes", "s/step", "images/s", "speed", "waiting", "peak MiB",
        "compile s", "GFLOP/step", "of ceiling",
    ])  # fmt: skip
    found = {name: dict(zip(header[1], row, strict=True)) for name, row in table}
    assert found["as given"]["speed"] == "1.00x"
    for row in found.values():
        assert float(row["images/s"]) > 0 and 100 < float(row["peak MiB"]) < 10_000
    return found


@pytest.mark.slow
def test_step_runs_every_variant_and_leaves_no_files(data_root, tmp_path):
    done = tiny.command(
        SCRIPT,
        "step",
        *SMALL_NETWORKS,
        *tiny.data_overrides(data_root),
        "rounds=1",
        "steps=1",
        "ceiling=true",
        "task.update_order=g_then_d",
        "compare=[[task.update_order=d_then_g, devices.precision=mixed_bfloat16]]",
        f"output_root={tmp_path}/out",
    )
    assert done.returncode == 0, done.stderr
    variants = variants_of(done.stdout)
    assert list(variants)[1] == "task.update_order=d_then_g devices.precision=mixed_bfloat16"
    given, other = variants.values()
    assert (given["precision"], other["precision"]) == ("float32", "mixed_bfloat16")
    assert (given["generator passes"], other["generator passes"]) == ("2", "1")
    # The second generator pass is really there, and really gone.
    assert float(given["GFLOP/step"]) > float(other["GFLOP/step"]) > 0
    assert "task.update_order=g_then_d" in done.stdout.splitlines()[0]
    assert not (tiny.ROOT / "benchmark.log").exists() and not (tmp_path / "out").exists()


def test_step_shows_what_was_measured(monkeypatch, capsys):
    def measure(variants, timer, rounds, title, **settings):
        assert settings == {"steps": 5, "pipeline": True, "ceiling": step.CEILING_SHAPES}
        assert [v.config.devices.precision for v in variants] == ["float32", "mixed_bfloat16"]
        turns = [{"constant": 0.5 * n, "pipeline": 1.0 * n, "ceiling": 100} for n in (1, 2, 3)]
        facts = {"compile_seconds": 2.25, "peak_mib": 512.4, "gflops": 20.0}
        faster = [{"constant": 1.0, "pipeline": 0.5, "ceiling": 200}] * 3
        return [(turns, facts), (faster, facts)]

    arguments = ["seed=1", "trainer.batch_size=2", "ceiling=true"]
    compare = "compare=[devices.precision=mixed_bfloat16]"
    measured.run(monkeypatch, "step", *arguments, compare, measure=measure)
    printed = capsys.readouterr().out
    given, other = (list(row.values()) for row in variants_of(printed).values())
    assert given[:5] == ["float32", "1", "2 (1 - 3)", "1.00", "1.00x"]
    assert given[5:] == ["50.0 %", "512", "2.2", "20", "0.20"]
    assert other[1:6] == ["1", "0.5 (0.5 - 0.5)", "4.00", "4.00x", "-100.0 %"]
    assert printed.startswith("as given: seed=1 trainer.batch_size=2\n5 turns of 5 steps")
    assert printed.endswith("precision: 4x128x128x64, 4x64x64x128, 4x32x32x256\n")


def test_a_variant_replaces_overrides_of_the_given_config():
    with initialize_config_dir(str(run_config.CONFIGS), version_base="1.3"):
        config = variants.composed(
            ["loss=hinge", "task.update_order=g_then_d", "generator.width=4"],
            ["loss=wgan_gp", "task.update_order=d_then_g"],
        )
        assert config.task.update_order == "d_then_g" and config.generator.width == 4
        assert "Wasserstein" in config.loss.adversarial._target_
        with pytest.raises(ValueError, match=r"entry of compare.*Received: generator.widht=3 \("):
            variants.composed([], ["generator.widht=3"])


def test_compare_needs_no_quotes():
    cases = {
        "[a.b=c]": ["a.b=c"],
        "[a=1, [b=[2,3], c=x y]]": ["a=1", ["b=[2,3]", "c=x y"]],
        "[a={b:[1,[2]],c:d}, ~x, [+y=[[1],{z:3}]]]": [
            "a={b:[1,[2]],c:d}",
            "~x",
            ["+y=[[1],{z:3}]"],
        ],
        "data.image_size=[64,32]": ["data.image_size=[64,32]"],
        "[]": [],
        "['a=1']": ["a=1"],
    }
    with initialize_config_dir(str(run_config.CONFIGS), version_base="1.3"):
        for text, expected in cases.items():
            quoted = variants.quoted_compare(f"compare={text}")
            config = compose("benchmark", ["command=step", quoted])
            assert OmegaConf.to_container(config.compare) == expected
    assert variants.quoted_compare("seed=[1") == "seed=[1"
    with pytest.raises(ValueError, match=r"brackets in pairs. Received: \[a=1, \[b=2\]"):
        variants.quoted_compare("compare=[a=1, [b=2]")


def test_operations_are_counted_exactly():
    batch, size, inner, outer = 2, 8, 3, 5
    kernel = tf.zeros([4, 4, inner, outer])

    @tf.function
    def convolution_and_product(image, matrix):
        with tf.GradientTape() as tape:
            tape.watch([image, kernel])
            result = tf.nn.conv2d(image, kernel, 2, "VALID")
        gradients = tape.gradient(result, [image, kernel])
        return gradients, tf.matmul(matrix, matrix, transpose_a=True)

    image, matrix = tf.zeros([batch, size, size, inner]), tf.zeros([7, 6])
    graph = convolution_and_product.get_concrete_function(image, matrix).graph
    places = batch * 3 * 3  # (8 - 4) // 2 + 1 = 3
    kinds = [op.type for op in graph.get_operations() if op.type.startswith("Conv2D")]
    expected = len(kinds) * 2 * places * outer * 4 * 4 * inner + 2 * 6 * 6 * 7
    assert {"Conv2DBackpropInput", "Conv2DBackpropFilter"} <= set(kinds)
    assert operations.graph_flops(graph) == expected


def test_generator_passes_follow_the_update_order():
    def passes(**task):
        return step.generator_passes(OmegaConf.create({"task": task}))

    assert passes(update_order="d_then_g", discriminator_steps=1) == "1"
    assert passes(update_order="g_then_d", discriminator_steps=2) == "3"
    assert passes(update_order="d_then_g", discriminator_steps=1, accumulate_steps=3) == "6"
    assert passes() == "-"


# --- data -------------------------------------------------------------------------------------


DATA = ["data", "image_size=32", "pairs=6", "batch_size=4", "rounds=1", "seconds=0.05"]


def check_data_table(printed):
    table = measured.rows(printed)
    assert [name.partition(":")[0] for name in table] == [
        "way",
        "tf.py_function, Pillow, a loop over classes; parallel",
        "tf.py_function, Pillow, a loop over classes; one by one",
        "pipeline, cold",
        "pipeline, cold, one-hot in the step",
        "pipeline, cached in memory",
        "pipeline, cached, one-hot in the step",
    ]
    assert list(table.values())[1][-1] == "1.00x"


def test_data_compares_the_ways(monkeypatch, capsys):
    measured.run(monkeypatch, *DATA)
    check_data_table(capsys.readouterr().out)


@pytest.mark.slow
def test_data_is_a_command():
    done = tiny.command(SCRIPT, *DATA)
    assert done.returncode == 0, done.stderr
    check_data_table(done.stdout)


def test_all_ways_read_the_same_data(tmp_path):
    config = OmegaConf.create({"image_size": 32, "pairs": 4, "batch_size": 4})
    with initialize_config_dir(str(run_config.CONFIGS), version_base="1.3"):
        ways = input_pipelines.datasets(config, tmp_path / "facades")
        preprocess = input_pipelines.pipeline(config, tmp_path / "facades").preprocess
    sums = []
    for dataset in ways.values():
        batch = preprocess(next(iter(dataset)))
        assert batch["image"].shape == (4, 32, 32, 3) and batch["mask"].shape == (4, 32, 32, 12)
        np.testing.assert_array_equal(np.argmax(batch["mask"], -1), batch["label_map"])
        # The order differs; a batch is the whole data set.
        order = np.lexsort(batch["label_map"].numpy().reshape(4, -1).T)
        sums.append(np.asarray(batch["image"])[order])
    for images in sums[1:]:
        # Two JPEG decoders may differ by a few grey values.
        np.testing.assert_allclose(images, sums[0], atol=8 / 127.5)


# --- What is refused --------------------------------------------------------------------------


def test_the_first_word_is_a_command():
    assert benchmark.with_command(["step", "seed=1"]) == ["command=step", "seed=1"]
    for passed_on in (["--help"], ["seed=1", "command=data"]):
        assert benchmark.with_command(passed_on) == passed_on
    for wrong in ([], ["steps"], ["seed=1"]):
        with pytest.raises(
            ValueError, match="Expected a command, step, data, attention or quality"
        ):
            benchmark.with_command(wrong)


@pytest.mark.slow
def test_refusals_are_one_message():
    cases = {
        "train": "Expected a command, step, data, attention or quality",
        "command=x": "Expected command=step or data or attention or quality. Received: command='x'",
        "step generator.widht=3": "unknown key 'generator.widht'",
    }
    for arguments, message in cases.items():
        done = tiny.command(SCRIPT, *arguments.split())
        assert done.returncode != 0 and "Traceback" not in done.stderr
        assert message in done.stderr


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            ["command=x"],
            "Expected command=step or data or attention or quality. Received: command='x'",
        ),
        (["data", "generator.width=3"], "'data' takes .*Received: generator.width=3"),
        (["step", "pairs=3"], "'step' takes .*settings of train.py. Received: pairs=3"),
        (["step", "rounds=0"], "rounds must be an integer >= 1. Received: rounds=0"),
        (["step", "compare=[generator.widht=3]"], "entry of compare .*Received: generator.widht=3"),
        (["attention", "generator.width=3"], "'attention' takes .*Received: generator.width=3"),
        (["attention", "image_size=3"], "'attention' takes .*Received: image_size=3"),
        (["attention", "sizes=[8,0]"], "sizes must be an integer >= 1. Received: sizes=0"),
        (["attention", "sizes=[]"], "sizes must be an integer >= 1. Received: sizes=None"),
        (["attention", "entities=0"], "entities must be an integer >= 1. Received: entities=0"),
    ],
)
def test_wrong_settings_are_named_before_anything_is_built(arguments, message, monkeypatch):
    with pytest.raises(ValueError, match=message):
        measured.run(monkeypatch, *arguments, measure=None)


class Connection:
    """The parent's end, which hears one thing and then hangs up."""

    def __init__(self, *requests):
        self.requests, self.answers = list(requests), []

    def recv(self):
        if not self.requests:
            raise EOFError
        return self.requests.pop(0)

    def send(self, answer):
        self.answers.append(answer)


def test_a_variant_that_cannot_be_built_says_why():
    with initialize_config_dir(str(run_config.CONFIGS), version_base="1.3"):
        config = compose("train", ["devices.strategy=single", "devices.precision=float99"])
        connection = Connection()
        workers.serve(connection, OmegaConf.to_yaml(config), step.TIMER, {})
    ((kind, message),) = connection.answers
    assert kind == "error" and "Received: precision='float99'" in message


@pytest.mark.parametrize(
    "answer, message",
    [
        (("error", "Too wide."), r"Too wide. \(in variant 'b=1'\)"),
        (None, r"ended before it was measured, exit code -9 .*Received: variant 'b=1'"),
    ],
)
def test_a_failing_variant_is_named(answer, message):
    worker = object.__new__(workers.Worker)
    worker.variant = workers.Variant("b=1", OmegaConf.create())
    worker.connection = Connection(*([answer] if answer else []))
    worker.process = types.SimpleNamespace(exitcode=-9, join=lambda: None)
    with pytest.raises(ValueError, match=message):
        worker.answer()


def test_a_step_is_compiled_timed_and_counted(data_root):
    overrides = [*tiny.SEGMENTER_OVERRIDES, *tiny.data_overrides(data_root), "trainer.batch_size=2"]
    with initialize_config_dir(str(run_config.CONFIGS), version_base="1.3"):
        config = compose("train", [*overrides, "data.encoding.mask_in_step=true"])
    timer = timers.StepTimer(config, steps=2, pipeline=True, ceiling=((1, 8, 8, 4),))
    assert timer.data.element_spec["image"].dtype == "uint8"  # masks are made in the step
    first = timer.step
    timer.prepare()
    for number, order in enumerate((["constant", "pipeline"], ["pipeline", "constant"])):
        figures = timer.turn(number)
        assert list(figures) == [*order, "ceiling"] and min(figures.values()) > 0
    assert timer.step == first + 2 + 2 * 2 * 3
    facts = timer.facts()
    assert facts["gflops"] > 0 and facts["compile_seconds"] > 0 and facts["peak_mib"] > 100
