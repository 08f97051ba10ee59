"""The train step of a config and of its variants, timed in turns."""

import statistics

from omegaconf import DictConfig, OmegaConf

from scripts.benchmarking import variants, workers
from scripts.command import tables

TIMER = "scripts.benchmarking.timers.StepTimer"
CEILING_SHAPES = ((4, 128, 128, 64), (4, 64, 64, 128), (4, 32, 32, 256))
LEGEND = """\
generator passes: forward passes in a step; g_then_d needs one more than d_then_g, which shares it.
speed: images/s against the first variant, turn by turn.
waiting: share of the step spent waiting for data; a constant batch from memory is the comparison,
and noise can make it negative. peak MiB: memory of the process, without that of a GPU."""
CEILING_LEGEND = """\
of ceiling: GFLOP/s of the step on a constant batch (convolutions and matrix products only), \
against the best\n3x3 convolution, forward and backward, in the same turn and precision: """


def run(config: DictConfig, given: list[str]) -> None:
    """Times the step of the given config and of each variant, in turns, and prints the table.

    Args:
        config: rounds, compare, steps, synthetic_batches, ceiling.
        given: overrides of the training config.

    Raises:
        ValueError: a variant that cannot be composed, built or measured; it is named.
    """
    measured_variants = [
        workers.Variant(name, variants.composed(given, changes))
        for name, changes in variants.named(config.compare)
    ]
    ceiling = CEILING_SHAPES if config.ceiling else ()
    measured = workers.measure(
        measured_variants, TIMER, config.rounds, "Rounds",
        steps=config.steps, pipeline=not config.synthetic_batches, ceiling=ceiling,
    )  # fmt: skip
    print(f"{variants.GIVEN}: {' '.join(given) or 'the defaults of train.py'}")
    print(f"{config.rounds} turns of {config.steps} steps: median (min - max)\n")
    print(tables.table(rows(measured_variants, measured)) + "\n\n" + LEGEND)
    if ceiling:
        print(CEILING_LEGEND + ", ".join("x".join(map(str, shape)) for shape in ceiling))


def rows(timed: list[workers.Variant], measured: list) -> list[list[str]]:
    """Header and one row a variant of what StepTimer measures."""
    header = ["variant", "precision", "generator passes", "s/step", "images/s", "speed"]
    header += ["waiting", "peak MiB", "compile s"]
    header += ["GFLOP/step", "of ceiling"] if measured[0][1]["gflops"] else []
    shown, reference = [header], None
    for (name, config), (turns, facts) in zip(timed, measured, strict=True):
        seconds = [turn.get("pipeline", turn["constant"]) for turn in turns]
        waiting = [1 - t["constant"] / t["pipeline"] for t in turns if "pipeline" in t]
        speeds = [config.trainer.batch_size / each for each in seconds]
        reference = reference or speeds
        row = [name, config.devices.precision, generator_passes(config), tables.spread(seconds)]
        row += [f"{statistics.median(speeds):.2f}", tables.ratio(speeds, reference)]
        row += [f"{100 * statistics.median(waiting):.1f} %" if waiting else "-"]
        row += [f"{facts['peak_mib']:.0f}", f"{facts['compile_seconds']:.1f}"]
        if gflops := facts["gflops"]:
            shares = [gflops / turn["constant"] / turn["ceiling"] for turn in turns]
            row += [tables.three_digits(gflops), f"{statistics.median(shares):.2f}"]
        shown.append(row)
    return shown


def generator_passes(config: DictConfig) -> str:
    """How often a step computes the generator forward: the discriminator's fakes may be shared."""
    order = OmegaConf.select(config, "task.update_order")
    if order is None:
        return "-"
    updates = OmegaConf.select(config, "task.discriminator_steps", default=1)
    micro_batches = OmegaConf.select(config, "task.accumulate_steps", default=1)
    return str(micro_batches * (updates + (order == "g_then_d" or micro_batches > 1)))
