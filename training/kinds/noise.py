"""Noise of given seeds and truncation, for kinds whose images differ by noise."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from training.tasks import steps

MIN_TRUNCATION = 0.02  # below it nearly every draw is thrown away, for noise that is all but zero


def check_numbers(*, truncation: float | None, **numbers: int) -> None:
    """Raises ValueError where a setting is no number, or the threshold of the noise is too low."""
    kinds = dict.fromkeys(numbers, int) | {"truncation": int | float | None}
    for name, value in (numbers | {"truncation": truncation}).items():
        if isinstance(value, bool) or not isinstance(value, kinds[name]):
            raise ValueError(f"Expected a number. Received: {name}={value!r}.")
    if truncation is not None and truncation < MIN_TRUNCATION:
        raise ValueError(
            f"Expected a threshold of at least {MIN_TRUNCATION} for the noise, or null for none. "
            f"Received: truncation={truncation}. BigGAN uses 0.5 to 2."
        )


def chosen_seeds(seeds: Sequence[int] | None, first: int, count: int) -> list[int]:
    """The seeds listed, each once, or `count` from the first on."""
    return list(dict.fromkeys(seeds or range(first, first + count)))


def two_seeds(seeds: Sequence[int] | None, first: int) -> list[int]:
    """The two seeds to go between: those listed, or the first and the next.

    Raises:
        ValueError: another number of them.
    """
    ends = chosen_seeds(seeds, first, 2)
    if len(ends) != 2:
        raise ValueError(
            f"Expected the two seeds to go between. Received: seeds={ends}. For instance "
            "seeds=[3,7]."
        )
    return ends


def of_seeds(run, seeds: Sequence[int], truncation: float | None) -> np.ndarray:
    """float32 [seeds, noise_dim]; a row is a function of its seed and the threshold."""
    noise_dim = run.task.generating_network.noise_dim
    seeds = tf.constant(seeds, tf.int32)
    if truncation is None:
        return steps.noise_from_seeds(seeds, noise_dim).numpy()
    return steps.truncated_noise(seeds, noise_dim, tf.constant(float(truncation))).numpy()


def between(first: np.ndarray, second: np.ndarray, count: int) -> np.ndarray:
    """float32 [count, noise_dim], on the way from one row of noise to another.

    cos(a) * first + sin(a) * second stays N(0, 1); a straight line would come too near to zero.
    """
    angles = np.linspace(0.0, np.pi / 2, count)[:, None]
    return (np.cos(angles) * first + np.sin(angles) * second).astype(np.float32)


def steps_between(first: str, last: str, count: int) -> dict[str, str]:
    """{name: title} of an interpolation: names are numbers, titles name the ends."""
    titles = [first, *(f"{index / (count - 1):.2f}" for index in range(1, count - 1)), last]
    return {f"{index:02d}": title for index, title in enumerate(titles)}
