"""The first items of an evaluation as a picture: what was given, and what was made of it."""

import numpy as np

from training.watch import contact_sheet

ROWS = 8


class Sheet:
    """Keeps the first items and counts all; takes part in training.watch.evaluation.Evaluation.

    Args:
        subject: EvaluatedRun or EvaluatedFolder.
    """

    def __init__(self, subject) -> None:
        self.subject = subject
        self.reset_state()

    def reset_state(self) -> None:
        self.count, self._kept = 0, []

    def update_state(self, batch, generated) -> None:
        if self.count < ROWS:
            self._kept.append((batch, generated))
        self.count += len(next(iter(generated.values())))

    def picture(self) -> np.ndarray:
        """uint8 [height, width, 3]."""
        given, made = (_joined(parts) for parts in zip(*self._kept, strict=True))
        colorize = self.subject.data.encoding.colors_of
        names = self.subject.class_names
        columns, rows = self.subject.kind.given(given, colorize, names)
        if "image" in made:
            columns["generated"] = contact_sheet.to_uint8(made["image"])
        elif made["prediction"].ndim > 1:
            columns["predicted"] = colorize(made["prediction"])
        else:
            rows = [f"{names[label]}: {names[found]}" for label, found in
                    zip(given["label"], made["prediction"], strict=True)]  # fmt: skip
        return contact_sheet.contact_sheet(columns, rows)


def _joined(batches) -> dict[str, np.ndarray]:
    return {key: np.concatenate([batch[key] for batch in batches])[:ROWS] for key in batches[0]}
