"""Attentive normalisation against its naive form and self-attention, as whole layers, in turns."""

from omegaconf import DictConfig, OmegaConf

from scripts.benchmarking import workers
from scripts.command import tables

TIMER = "scripts.benchmarking.timers.LayerTimer"
NORMALIZATION = "models.layers.attentive_normalization.AttentiveNormalization"
NAIVE = "scripts.benchmarking.naive_layer.NaiveAttentiveNormalization"
SELF_ATTENTION = "models.layers.self_attention.SelfAttention"
LEGEND = """\
time, memory: against attentive normalisation; times turn by turn.
extra MiB: peak memory of the process beyond that before the first call, without that of a GPU."""


def run(config: DictConfig) -> None:
    """Times the layers at each size, in turns, and prints the table.

    Args:
        config: sizes, channels, entities, batch_size, precision, rounds, steps.

    Raises:
        ValueError: a layer cannot be built or measured; it is named.
    """
    rows = [["layer", "ms", "time", "extra MiB", "memory"]]
    for size in config.sizes:
        compared, title = variants(config, size), f"Rounds at {size} px"
        measured = workers.measure(compared, TIMER, config.rounds, title, calls=config.steps)
        reference, least = measured[0]
        for variant, (seconds, extra) in zip(compared, measured, strict=True):
            row = [variant.name, tables.spread([1000 * value for value in seconds])]
            row += [tables.ratio(seconds, reference), f"{extra:,.0f}"]
            rows.append([*row, f"{extra / least:.2f}x" if least > 0 else "-"])
    print(
        f"Whole layers, forward and backward, training; batch {config.batch_size}, "
        f"{config.channels} channels,\n{config.entities} entities, {config.precision}. "
        f"{config.rounds} turns of {config.steps} calls: median (min - max)\n"
    )
    print(tables.table(rows) + "\n\n" + LEGEND)


def variants(config: DictConfig, size: int) -> list[workers.Variant]:
    """The layers to measure; the first is the one to compare with."""
    layers = {
        "attentive normalisation": {"_target_": NORMALIZATION, "entities": config.entities},
        "the same, naive": {"_target_": NAIVE, "entities": config.entities},
        "self-attention": {"_target_": SELF_ATTENTION},
    }
    common = {
        "shape": [config.batch_size, size, size, config.channels],
        "devices": {"strategy": "single", "precision": config.precision},
    }
    return [
        workers.Variant(f"{size} x {size}: {name}", OmegaConf.create({"layer": layer, **common}))
        for name, layer in layers.items()
    ]
