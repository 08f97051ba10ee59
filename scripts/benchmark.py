"""Measures the train step of any training config, the input pipeline, and attention layers."""

import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

import hydra
from omegaconf import DictConfig, OmegaConf

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this checkout, not another one

from scripts.benchmarking import (
    benchmark_attention,
    benchmark_data,
    benchmark_step,
    benchmark_worker,
)
from scripts.command import errors, overrides, tables
from training.loop import tensorflow_import
from training.runs import run_config, starting

COMMANDS = ("step", "data", "attention")
GIVEN = "as given"
SETTINGS = {
    "step": {"command", "rounds", "compare", "steps", "synthetic_batches", "ceiling"},
    "data": {"command", "rounds", "image_size", "pairs", "batch_size", "seconds", "root"},
    "attention": {
        "command", "rounds", "steps", "sizes", "channels", "entities", "batch_size", "precision"
    },
}  # fmt: skip
NUMBERS = (
    "rounds", "steps", "image_size", "pairs", "batch_size", "seconds", "sizes", "channels",
    "entities",
)  # fmt: skip
BATCH_SIZES = {"data": 16, "attention": 4}
LEGEND = """\
generator passes: forward passes in a step; g_then_d needs one more than d_then_g, which shares it.
speed: images/s against the first variant, turn by turn.
waiting: share of the step spent waiting for data; a constant batch from memory is the comparison,
and noise can make it negative. peak MiB: memory of the process, without that of a GPU."""
IN_STEP_LEGEND = "in the step: scaling and one-hot are left to the train step and not timed here."


def with_command(arguments: list[str]) -> list[str]:
    """The arguments as Hydra understands them: command as an override, variants quoted."""
    arguments = [quoted_compare(text) for text in arguments]
    example = "python scripts/benchmark.py step devices.precision=mixed_bfloat16"
    return overrides.with_command(arguments, tuple(COMMANDS), example)


def quoted_compare(argument: str) -> str:
    """`compare=[a=1, [b=2, c=3]]` with the quotes that Hydra wants around each override."""
    key, _, text = argument.partition("=")
    if key != "compare" or "'" in text or '"' in text:
        return argument
    return f"compare={_quoted(text if text.startswith('[') else f'[{text}]')}"


def _quoted(text: str) -> str:
    parts, depth = [""], 0
    for character in text[1:-1]:
        depth += (character in "[{(") - (character in "]})")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    if depth or not text.endswith("]"):
        raise ValueError(
            f"Expected compare=[a.b=c, [d.e=f, g.h=i]], brackets in pairs. Received: {text}"
        )
    parts = [part.strip() for part in parts if part.strip()]
    return f"[{','.join(_quoted(p) if p.startswith('[') else repr(p) for p in parts)}]"


@hydra.main(version_base="1.3", config_path="../configs", config_name="benchmark")
def main(config: DictConfig) -> None:
    actions = {"step": step, "data": data, "attention": attention}
    if config.command not in actions:
        raise ValueError(
            f"Expected command={' or '.join(COMMANDS)}. Received: command={config.command!r}"
        )
    if config.batch_size is None:
        config.batch_size = BATCH_SIZES.get(config.command)
    if isinstance(config.sizes, int):
        config.sizes = [config.sizes]
    check_settings(config)
    actions[config.command](config)


def check_settings(config) -> None:
    """Refuses settings that the command does not read, and numbers that cannot be.

    Raises:
        ValueError: a setting is named.
    """
    ours = run_config.root_keys("benchmark")
    for text in starting.task_overrides():
        key = _key(text)
        foreign = key in ours or config.command != "step"
        if foreign and key not in SETTINGS[config.command]:
            raise ValueError(
                f"The command {config.command!r} takes {sorted(SETTINGS[config.command])}"
                + (" and the settings of train.py" if config.command == "step" else "")
                + f". Received: {text}"
            )
    for name in (name for name in NUMBERS if name in SETTINGS[config.command]):
        values = (config.sizes or [None]) if name == "sizes" else [config[name]]
        for value in values:
            whole = isinstance(value, int) or name == "seconds"
            if isinstance(value, bool | str | None) or not whole or value <= 0:
                raise ValueError(f"{name} must be a positive number. Received: {name}={value!r}")


# --- step -------------------------------------------------------------------------------------


def step(config: DictConfig) -> None:
    """Times the step of the given config and of each variant, in turns, and prints the table."""
    ours = run_config.root_keys("benchmark")
    given = [text for text in starting.task_overrides() if _key(text) not in ours]
    variants = [benchmark_worker.Variant(GIVEN, composed(given))]
    for entry in OmegaConf.to_container(config.compare):
        changes = entry if isinstance(entry, list) else [entry]
        variants.append(benchmark_worker.Variant(" ".join(changes), composed(given, changes)))
    results = benchmark_worker.measure(
        variants,
        rounds=config.rounds,
        steps=config.steps,
        pipeline=not config.synthetic_batches,
        ceiling=config.ceiling,
    )
    print(f"{GIVEN}: {' '.join(given) or 'the defaults of train.py'}")
    print(f"{config.rounds} turns of {config.steps} steps: median (min - max)\n")
    print(tables.table(step_rows(variants, results)))
    print("\n" + LEGEND)
    if config.ceiling:
        print(
            "of ceiling: GFLOP/s of the step on a constant batch (convolutions and matrix "
            "products only), against the best\n3x3 convolution, forward and backward, in the same "
            "turn and precision: " + benchmark_step.CEILING_TEXT
        )


def composed(given: list[str], changes: Sequence[str] = ()) -> DictConfig:
    """The training config of the overrides, of which later ones replace earlier ones.

    Raises:
        ValueError: an override that does not fit; the variant is named.
    """
    replaced = {_key(text) for text in changes}
    kept = [text for text in given if _key(text) not in replaced]
    if not changes:
        return hydra.compose("train", kept)
    try:
        return hydra.compose("train", kept + overrides.with_nulls(changes))
    except hydra.errors.HydraException as error:
        reason = benchmark_worker.innermost(error).partition("\n")[0]
        raise ValueError(
            "Every entry of compare must be an override that train.py takes, or a list of them. "
            f"Received: {' '.join(changes)} ({reason})"
        ) from None


def step_rows(variants, results) -> list[list[str]]:
    """Header and one row a variant."""
    header = ["variant", "precision", "generator passes", "s/step", "images/s", "speed"]
    header += ["waiting", "peak MiB", "compile s"]
    if results[0].gflops:
        header += ["GFLOP/step", "of ceiling"]
    rows, reference = [header], None
    for variant, result in zip(variants, results, strict=True):
        batch_size = variant.config.trainer.batch_size
        speeds = [batch_size / seconds for seconds in result.seconds]
        reference = reference or speeds
        row = [
            variant.name,
            variant.config.devices.precision,
            generator_passes(variant.config),
            tables.spread(result.seconds),
            f"{statistics.median(speeds):.2f}",
            tables.ratio(speeds, reference),
            f"{100 * statistics.median(result.waiting):.1f} %" if result.waiting else "-",
            f"{result.peak_mib:.0f}",
            f"{result.compile_seconds:.1f}",
        ]
        if result.gflops:
            row += [
                tables.three_digits(result.gflops),
                f"{statistics.median(result.ceiling_shares):.2f}",
            ]
        rows.append(row)
    return rows


def generator_passes(config) -> str:
    """How often a step computes the generator forward: the discriminator's fakes may be shared."""
    order = OmegaConf.select(config, "task.update_order")
    if order is None:
        return "-"
    shared = OmegaConf.select(config, "task.discriminator_steps", default=1)
    return str(shared + (order == "g_then_d"))


# --- data -------------------------------------------------------------------------------------


def data(config: DictConfig) -> None:
    """Times the pipeline and the way through Python, in turns, and prints the table."""
    tensorflow_import.load_tensorflow()
    speeds = benchmark_data.measure(config)
    reference = next(iter(speeds.values()))
    rows = [["way", "images/s", "speed"]]
    rows += [
        [way, tables.spread(each), tables.ratio(each, reference)] for way, each in speeds.items()
    ]
    print(
        f"{config.pairs} pairs of 8-bit BMP and JPEG, {config.image_size} px, 12 classes, batches"
    )
    print(
        f"of {config.batch_size}. {config.rounds} turns of {config.seconds} s: median (min - max)\n"
    )
    print(tables.table(rows))
    print("\n" + IN_STEP_LEGEND)


# --- attention --------------------------------------------------------------------------------


def attention(config: DictConfig) -> None:
    """Times the attention layers at each size, in turns, and prints the table."""
    rows = benchmark_attention.rows(config)
    print(
        f"Whole layers, forward and backward, training; batch {config.batch_size}, "
        f"{config.channels} channels,\n{config.entities} entities, {config.precision}. "
        f"{config.rounds} turns of {config.steps} calls: median (min - max)\n"
    )
    print(tables.table(rows))
    print("\n" + benchmark_attention.LEGEND)


def _key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0].partition("@")[0]


def start() -> None:
    sys.argv[1:] = with_command(sys.argv[1:])
    main()


if __name__ == "__main__":
    errors.run(start)
