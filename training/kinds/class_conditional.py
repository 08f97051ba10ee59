"""Images of a class."""

import re
from collections.abc import Sequence

import numpy as np

from training.kinds import kind, noise


class ClassConditional(kind.Kind):
    """Class-conditional generation: a class and noise in, an image out.

    `sample` takes "label", int [B] or float [B, K], the weights of a mixture of classes; and, in
    the place of that of the seeds, "noise" float32 [B, noise_dim].
    """

    configurable = True

    name = "class-conditional"
    condition = "label"
    provides = frozenset({"features", "label"})
    judge = kind.Judge("classification", "label", "classify_synthetic")
    classes = "label"
    settings = ("classes", "per_class", "seed", "truncation", "interpolate", "steps")

    def preview_seeds(self, batch: dict) -> np.ndarray:
        """An item's place among those of its class: items of one class differ by noise alone."""
        labels = np.ravel(batch["label"])
        return np.array([np.sum(labels[:i] == labels[i]) for i in range(len(labels))], np.int32)

    def examples(self, run, count: int) -> tuple[list[str], dict[str, np.ndarray]]:
        """Classes in turn; where there are more than rows, spread over them."""
        names = run.image_class_names
        known = len(names)
        ids = [row % known if count > known else row * known // count for row in range(count)]
        return [names[index] for index in ids], {"label": np.array(ids, np.int32)}

    def grid(  # type: ignore[override]  # each kind has settings of its own
        self, run, *, seeds: Sequence[int] | None = None, classes: Sequence[int] | None = None,
        per_class: int = 8, seed: int = 0, truncation: float | None = None,
        interpolate: str | None = None, steps: int = 8,
    ) -> kind.Grid:  # fmt: skip
        """A row for each class and a column for each seed, or the way between two of either.

        `classes` are ids; None = all.
        """
        if interpolate not in (None, "seeds", "classes"):
            raise ValueError(
                "Expected interpolate=seeds, interpolate=classes or null. Received: "
                f"interpolate={interpolate}."
            )
        noise.check_numbers(per_class=per_class, steps=steps, seed=seed, truncation=truncation)
        if per_class < 1 or steps < 2:
            raise ValueError(
                "Expected at least one image of each class, and two steps of an interpolation. "
                f"Received: per_class={per_class}, steps={steps}."
            )
        known = range(len(run.image_class_names))
        ids = list(dict.fromkeys(known if classes is None else classes))
        names = [run.image_class_names[index] for index in ids]
        label = np.array(ids, np.int32)[:, None]
        if interpolate == "seeds":
            ends = noise.two_seeds(seeds, seed)
            first, last = noise.of_seeds(run, ends, truncation)
            drawn = noise.between(first, last, steps)[None]
            columns = noise.steps_between(f"seed {ends[0]}", f"seed {ends[1]}", steps)
            return _grid(names, columns, label, drawn)
        seeds = noise.chosen_seeds(seeds, seed, per_class)
        drawn = noise.of_seeds(run, seeds, truncation)
        if interpolate == "classes":
            start, end = _two(names, run)
            columns = noise.steps_between(start, end, steps)
            rows = [f"seed {seed}" for seed in seeds]
            return _grid(rows, columns, _mixtures(ids, run, steps)[None], drawn[:, None])
        columns = {f"seed_{seed}": f"seed {seed}" for seed in seeds}
        return _grid(names, columns, label, drawn[None])

    def evaluation_inputs(self, num_images, batch_size, image_class_names) -> list[dict]:
        """Every class equally often, up to one."""
        count, num_images = len(image_class_names), num_images or kind.DEFAULT_NUM_IMAGES
        if num_images < count:
            raise ValueError(
                f"Expected at least one image for each of the {count} classes. Received: "
                f"num_images={num_images}."
            )
        return [
            {"label": numbers % count, "valid": valid}
            for numbers, valid in kind.numbered(num_images, batch_size)
        ]


def _grid(rows: list[str], columns: dict[str, str], label, drawn) -> kind.Grid:
    """The grid of labels and noise, each [rows or 1, columns or 1, ...]."""
    shape = (len(rows), len(columns))
    label, drawn = (np.broadcast_to(x, (*shape, *x.shape[2:])) for x in (label, drawn))

    def conditions(numbers) -> dict:
        places = np.unravel_index(numbers, shape)
        return {"label": label[places], "noise": drawn[places]}

    return kind.Grid(
        names=[f"{folder_name(row)}/{column}" for row in rows for column in columns],
        columns=list(columns.values()),
        seeds=np.zeros(shape[0] * shape[1], np.int32),
        conditions=conditions,
        rows=rows,
    )


def _two(names, run) -> list[str]:
    """The names of the two classes to go between."""
    if len(names) != 2:
        known = f"{run.image_class_names[0]},{run.image_class_names[-1]}"
        raise ValueError(
            f"Expected the two classes to go between. Received: {len(names)} classes. For instance "
            f"classes=[{known}]."
        )
    return names


def _mixtures(ids, run, steps) -> np.ndarray:
    """float32 [steps, K], weights of the classes from the first to the second."""
    first, second = np.eye(len(run.image_class_names), dtype=np.float32)[ids]
    share = np.linspace(0.0, 1.0, steps, dtype=np.float32)[:, None]
    return (1.0 - share) * first + share * second


def folder_name(title: str) -> str:
    """The title, with %xx for what a folder's name may not have."""
    return re.sub(r"^\.|[^\w .-]", lambda found: f"%{ord(found[0]):02x}", title).replace(" ", "_")
