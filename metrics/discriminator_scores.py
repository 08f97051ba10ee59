"""What the discriminator says of photographs that it was never trained on."""

import numpy as np


class DiscriminatorScores:
    """Mean logits of real and generated images, on a split and on training photographs.

    Call of `update_state(batch, generated)`:
        generated: "logit_real" and "logit_fake", float [B], of the photograph and of what was
            generated in its place; where they are missing, nothing is measured.
    `result()`: dict of floats "logit_real" and "logit_fake", means; NaN without any.
    `gap(here, training)`: of two results, "overfitting" = (t - v) / (t - f) with the mean logits of
        training photographs t, of those of the split v, and of generated images f. 0 = both look as
        real to it, 1 = what it has not seen looks generated; NaN where it tells t and f apart by
        less than the deviation of its logits.
    `reset_state()`: forgets all.

    Source: r_v of Karras et al., NeurIPS 2020, arXiv 2006.06676.
    """

    configurable = True

    needs = frozenset({"discriminator"})

    def __init__(self) -> None:
        self.reset_state()

    def reset_state(self) -> None:
        self._logits: dict[str, list] = {"logit_real": [], "logit_fake": []}

    def update_state(self, batch, generated) -> None:
        for name, logits in self._logits.items():
            logits += np.ravel(generated.get(name, ())).tolist()

    def result(self) -> dict[str, float]:
        return {
            name: float(np.mean(logits)) if logits else float("nan")
            for name, logits in self._logits.items()
        }

    def gap(self, here: dict, training: dict) -> dict[str, float]:
        deviation = np.mean([np.std(logits) for logits in self._logits.values() if logits] or [0])
        apart = training["logit_real"] - training["logit_fake"]
        fits = apart > deviation
        value = (training["logit_real"] - here["logit_real"]) / apart if fits else float("nan")
        return {"overfitting": value}
