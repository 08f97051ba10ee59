"""Images from noise alone."""

from collections.abc import Sequence

import numpy as np

from training.kinds import kind, noise

COLUMNS = 8


class Unconditional(kind.Kind):
    """Unconditional generation: noise in, an image out; a folder of photographs is all it needs.

    `sample` takes an empty dict and seeds, or "noise" float32 [B, noise_dim] in their place.
    """

    configurable = True

    name = "unconditional"
    provides = frozenset({"features"})
    settings = ("count", "seed", "truncation", "interpolate", "steps")

    def preview_seeds(self, batch: dict) -> np.ndarray:
        """Another one for each row."""
        return np.arange(len(next(iter(batch.values()))), dtype=np.int32)

    def examples(self, run, count: int) -> tuple[list[str], dict[str, np.ndarray]]:
        """(numbers as names, an empty batch): there are no conditions."""
        return [str(number) for number in range(count)], {}

    def grid(  # type: ignore[override]  # each kind has settings of its own
        self, run, *, seeds: Sequence[int] | None = None, count: int | None = None, seed: int = 0,
        truncation: float | None = None, interpolate: str | None = None, steps: int = 8,
    ) -> kind.Grid:  # fmt: skip
        """An image of each seed, `count` from `seed` on; or the way from one seed to another."""
        if interpolate not in (None, "seeds"):
            raise ValueError(
                f"Expected interpolate=seeds or null. Received: interpolate={interpolate}."
            )
        noise.check_numbers(steps=steps, seed=seed, truncation=truncation)
        if steps < 2:
            raise ValueError(f"Expected two steps of an interpolation. Received: steps={steps}.")
        if interpolate == "seeds":
            ends = noise.two_seeds(seeds, seed)
            first, last = noise.of_seeds(run, ends, truncation)
            drawn = noise.between(first, last, steps)
            titles = noise.steps_between(f"seed {ends[0]}", f"seed {ends[1]}", steps)
            return _grid(list(titles), list(titles.values()), drawn)
        seeds = noise.chosen_seeds(seeds, seed, count or 2 * COLUMNS)
        drawn = noise.of_seeds(run, seeds, truncation)
        columns = [str(number + 1) for number in range(min(COLUMNS, len(seeds)))]
        rows = [f"from seed {first}" for first in seeds[::COLUMNS]]
        return _grid([f"seed_{seed}" for seed in seeds], columns, drawn, rows)


def _grid(names, columns, drawn, rows=()) -> kind.Grid:
    return kind.Grid(
        names=names,
        columns=columns,
        seeds=np.zeros(len(names), np.int32),
        conditions=lambda numbers: {"noise": drawn[numbers]},
        rows=list(rows),
    )
