"""What the figures of a run say about its health: rules speak when a state begins or ends."""

import fnmatch
import math
from collections.abc import Iterable
from typing import Any

import numpy as np

ON, OFF = ("above", "below"), "until"
TINY = 1e-30  # in the place of 0 as a divisor


class Rule:
    """A state of the figures that a user should hear of, with hysteresis.

    It begins when every figure is beyond its bound `patience` times in a row, and ends when one of
    them is on the other side of `until` as often in a row; between the two, it stays as it is.

    Args:
        figures: {name: {above: x, until: y}} or {name: {below: x, until: y}}, all measured at the
            same time. `times: true` = bounds are multiples of the median of the first
            `patience` values of the figure. `until` defaults to the bound. A name may have one
            "*", which stands for the same text in all names: each such text has a state of its own.
        says: one sentence; "{}" in it is the text of the "*".
        advice: what to try, a sentence.
        patience: times in a row. Default 3.

    Raises:
        ValueError: no figure, a bound that is none of these, or patience below 1.
    """

    configurable = True

    def __init__(self, figures: dict, *, says: str, advice: str, patience: int = 3) -> None:
        known = {*ON, OFF, "times"}
        wrong = {
            name: bounds for name, bounds in figures.items()
            if sum(key in bounds for key in ON) != 1 or set(bounds) - known
        }  # fmt: skip
        if wrong or not figures or patience < 1:
            raise ValueError(
                "Expected figures with one of above and below, and until or times beside it, and "
                f"a patience of at least 1. Received: figures={wrong or figures}, "
                f"patience={patience}. For instance {{d/accuracy_real: {{above: 0.99}}}}."
            )
        self.figures = figures
        self.says = says
        self.advice = advice
        self.patience = patience
        self.holds: dict[str, bool] = {}
        """By the text of the "*": whether the state has begun and not ended."""
        self._waited: dict[str, int] = {}
        self._first: dict[str, list[float]] = {}

    def observe(self, values: dict[str, float]) -> list[tuple[str, str]]:
        """(text of the "*", sentence) of what begins or ends with these figures.

        The sentence ends with the figures in a bracket, which is open.
        """
        changes, first = [], next(iter(self.figures))
        for part in [_part(first, name) for name in values if fnmatch.fnmatchcase(name, first)]:
            found = {name: values.get(name.replace("*", part), math.nan) for name in self.figures}
            if not all(map(math.isfinite, found.values())):
                continue
            scaled = {name: self._scaled(name, part, value) for name, value in found.items()}
            if None in scaled.values():
                continue
            holds = self.holds.setdefault(part, False)
            beyond = [self._beyond(name, scaled[name], OFF if holds else None) for name in found]
            turns = all(beyond) != holds
            self._waited[part] = self._waited.get(part, 0) + 1 if turns else 0
            if self._waited[part] == self.patience:
                self._waited[part], self.holds[part] = 0, not holds
                shown = ", ".join(f"{name.replace('*', part)} {found[name]:.3g}" for name in found)
                says = self.says.replace("{}", part)
                text = f"No longer so: {says}" if holds else f"{says} {self.advice}"
                changes.append((part, f"{text} ({shown}"))
        return changes

    def _scaled(self, name, part, value) -> float | None:
        """The value as its bounds are meant; None while that is not known yet."""
        if not self.figures[name].get("times"):
            return value
        first = self._first.setdefault(f"{name} {part}", [])
        if len(first) < self.patience:
            first.append(value)
            return None
        return value / max(float(np.median(first)), TINY)

    def _beyond(self, name, value, key) -> bool:
        bounds = self.figures[name]
        side = next(side for side in ON if side in bounds)
        bound = bounds.get(key, bounds[side])
        return value > bound if side == "above" else value < bound


class Health:
    """Rules that watch what a run logs and measures.

    Args:
        rules: {name: Rule}; None = left out.
    """

    configurable = True

    def __init__(self, rules: dict[str, Rule | None]) -> None:
        self.rules = {name: rule for name, rule in rules.items() if rule is not None}

    def observe(self, values: dict[str, float]) -> list[str]:
        """Sentences on what these figures begin or end."""
        return [
            f"{text}; health.rules.{name})"
            for name, rule in self.rules.items()
            for _, text in rule.observe(values)
        ]

    def replay(self, lines: Iterable[dict[str, float]]) -> None:
        """Brings the rules to where they stood after these figures, in silence."""
        for rule in self.rules.values():
            for state in (rule.holds, rule._waited, rule._first):
                state.clear()
        for values in lines:
            self.observe(values)


class Movement:
    """How far the weights of networks move, relative to their size.

    "update_ratio/generator" = |w - w'| / (|w| n), w' the trainable weights n steps before.

    Args:
        networks: by name; those without trainable weights are left out.
    """

    def __init__(self, networks: dict[str, Any]) -> None:
        self._variables = {
            name: network.trainable_variables
            for name, network in networks.items()
            if network.trainable_variables
        }

    def start(self, step: int) -> None:
        """Measures from here."""
        self._step = step
        self._before = {
            name: [np.asarray(v.numpy(), np.float32) for v in variables]
            for name, variables in self._variables.items()
        }

    def measure(self, step: int) -> dict[str, float]:
        """The ratios since `start` or the last call."""
        before, steps = self._before, step - self._step
        self.start(step)
        return {
            f"update_ratio/{name}": _norm([a - b for a, b in zip(now, before[name], strict=True)])
            / max(_norm(now), TINY) / steps
            for name, now in self._before.items()
        }  # fmt: skip


def _norm(arrays) -> float:
    return math.sqrt(sum(float(np.vdot(array, array)) for array in arrays))


def _part(pattern, name) -> str:
    """What the "*" of a pattern stands for in a name that matches it."""
    head, star, tail = pattern.partition("*")
    return name[len(head) : len(name) - len(tail)] if star else ""
