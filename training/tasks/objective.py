"""What a GAN minimises: the terms of its two networks, and which of them a step adds up."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from losses import term as terms
from training.tasks import protocol, steps

PREFIXES = {"generator": "g", "discriminator": "d"}  # of the metrics of a network
ATTRIBUTES = ("weight", "needs", "every", "variables", "after")
AUGMENTATION = ("__call__", "moves", "observe", "variables", "after")


@dataclass(frozen=True)
class Part:
    """A term under its name, or one half of the adversarial loss."""

    name: str
    call: Callable[[terms.Step], Any]
    weight: float
    needs: Sequence[str]
    every: int = 1


class Update:
    """What one update of a network minimises: its parts of one interval.

    Args:
        owner: "generator" or "discriminator".
        parts: at least one.
        every: interval of all parts; above 1, the update is a lazy one.
    """

    def __init__(self, owner: str, parts: Sequence[Part], every: int) -> None:
        self.prefix = PREFIXES[owner]
        self.parts = parts
        self.every = every

    def reads(self, part: str) -> bool:
        """Whether a part of losses.term.PARTS, or anything within it, is needed."""
        return any(terms.reads(p.needs, part) for p in self.parts)

    @property
    def generates(self) -> bool:
        """Whether fakes are needed."""
        return self.reads("generated") or self.reads("fake")

    def total(self, step: terms.Step, network) -> tuple[tf.Tensor, protocol.Metrics]:
        """(weighted sum, unweighted losses and further scalars); closes the network's `losses`."""
        metrics, total = {}, 0.0
        for part in self.parts:
            value = part.call(step)
            beside = dict(value) if isinstance(value, dict) else {"loss": value}
            metrics[f"{self.prefix}/{part.name}"] = loss = beside.pop("loss")
            metrics |= {f"{self.prefix}/{name}": number for name, number in beside.items()}
            total += self.every * part.weight * loss
        if self.every == 1:
            total = steps.add_regularization(total, network, metrics, self.prefix)
        return total, metrics


class Objective:
    """An adversarial loss and weighted terms for each network, on augmented images if asked for.

    generator total = adversarial_weight * adversarial + sum weight * term + regularization, and the
    discriminator's likewise with weight 1; regularization is the sum of the Keras `losses` of the
    network. Terms with `every` k > 1 are left out of it: in steps whose number is divisible by k
    they make an update of their own, which minimises k * weight * term.

    Args:
        adversarial: losses.term.AdversarialLoss.
        generator_terms: {name: losses.term.Term}; a null term is left out. Default none.
        discriminator_terms: the same for the discriminator.
        augment: losses.term.Augmentation of all that the discriminator sees, with the same draws
            for the real and the fake batch; or null for none.
        adversarial_weight: float, in the generator's total. Default 1.0.
        adversarial_start_step: int; before it the generator trains on those of its terms that need
            nothing of the discriminator, and the discriminator rests. Default 0: from the start.

    An update logs its unweighted terms, and what they return beside, under "g/" or "d/", with their
    total.

    Raises:
        ValueError: a term that does not declare what losses.term.Term does, or something else than
            losses.term.PARTS; an augmentation that is none; a late start without a term
            that the generator could train on before.
    """

    configurable = True

    def __init__(
        self,
        adversarial: terms.AdversarialLoss,
        *,
        generator_terms: dict | None = None,
        discriminator_terms: dict | None = None,
        augment: terms.Augmentation | None = None,
        adversarial_weight: float = 1.0,
        adversarial_start_step: int = 0,
    ) -> None:
        self.adversarial = adversarial
        self.generator_terms = _without_null(generator_terms)
        self.discriminator_terms = _without_null(discriminator_terms)
        self.augment = augment
        self.adversarial_weight = adversarial_weight
        self.adversarial_start_step = adversarial_start_step
        self._check()

    def updates(
        self, owner: str, due: Sequence[int] = (), *, alone: bool = False
    ) -> tuple[Update, ...]:
        """The updates of a network in a step: that of each step, and those of lazy terms.

        Args:
            owner: "generator" or "discriminator".
            due: intervals that divide the number of the step.
            alone: whether only parts that need nothing of the discriminator are taken.
        """
        parts = [p for p in self.parts(owner) if not (alone and _needs_discriminator(p))]
        groups = [(every, [p for p in parts if p.every == every]) for every in (1, *due)]
        return tuple(Update(owner, group, every) for every, group in groups if group)

    def intervals(self, owner: str) -> tuple[int, ...]:
        """Those of the lazy terms of a network."""
        return tuple(sorted({part.every for part in self.parts(owner)} - {1}))

    def parts(self, owner: str) -> list[Part]:
        """The adversarial loss and the terms of a network."""
        if owner == "generator":
            weight, needs = self.adversarial_weight, self.adversarial.generator_needs
            adversarial = Part("adversarial", self.adversarial.generator, weight, needs)
            return [adversarial, *map(_part, self.generator_terms.items())]
        needs, call = self.adversarial.discriminator_needs, self._judge
        return [
            Part("adversarial", call, 1.0, needs),
            *map(_part, self.discriminator_terms.items()),
        ]

    def _judge(self, step) -> dict:
        """The discriminator's adversarial loss, with what the augmentation observes."""
        value = self.adversarial.discriminator(step)
        observed = {} if self.augment is None else self.augment.observe(step)
        return (value if isinstance(value, dict) else {"loss": value}) | observed

    # --- State -------------------------------------------------------------------------------

    def build(self, outputs: Callable[[], dict]) -> None:
        """Creates the state of the terms.

        Args:
            outputs: () -> TensorSpec of each output of the discriminator.
        """
        waiting = [term for _, _, term in self._owners() if hasattr(term, "build")]
        found = outputs() if waiting else None
        for term in waiting:
            term.build(found)

    def state(self) -> dict[str, Any]:
        """Owners of the state of terms that have some."""
        return {
            f"objective.{place}": steps.Variables(list(owner.variables))
            for place, _, owner in self._owners()
            if owner.variables
        }

    def after_step(self, metrics: protocol.Metrics) -> None:
        """Moves the state of those that took part in a step, across replicas.

        Args:
            metrics: of the step, means over the replicas.
        """
        for _, logged, owner in self._owners():
            if logged in metrics:
                prefix = f"{logged.partition('/')[0]}/"
                own = {
                    n.removeprefix(prefix): v for n, v in metrics.items() if n.startswith(prefix)
                }
                owner.after(own)

    def _owners(self) -> Iterator[tuple]:
        """(place in the config, name of what is logged when it took part, object)."""
        yield "adversarial", "d/adversarial", self.adversarial
        for network, prefix in PREFIXES.items():
            for name, term in getattr(self, f"{network}_terms").items():
                yield f"{network}_terms.{name}", f"{prefix}/{name}", term
        if self.augment is not None:
            yield "augment", "d/adversarial", self.augment

    # --- Checks ------------------------------------------------------------------------------

    def _check(self) -> None:
        for place, _, term in self._owners():
            if "_terms." not in place:
                continue
            lacking = [name for name in ATTRIBUTES if not hasattr(term, name)]
            wrong = [need for need in getattr(term, "needs", ()) if not _is_part(need)]
            if lacking or wrong:
                raise ValueError(
                    f"Expected a loss term with {ATTRIBUTES}, whose needs are of {terms.PARTS}. "
                    f"Received: {place}, {type(term).__name__}, without {lacking}, with needs "
                    f"{wrong}. Derive it from losses.term.Term."
                )
        late = self.adversarial_start_step
        first = self.updates("generator", alone=True)
        if late < 0 or (late and not first):
            raise ValueError(
                "adversarial_start_step must be at least 0, and before it the generator needs a "
                "term that reads nothing of the discriminator, such as a reconstruction. Received: "
                f"adversarial_start_step={late}, generator_terms={sorted(self.generator_terms)}. "
                "Add a term, or set adversarial_start_step=0."
            )
        if self.augment is not None and not all(hasattr(self.augment, n) for n in AUGMENTATION):
            raise ValueError(
                "augment must be an augmentation or null. Received: "
                f"augment={self.augment!r}. For instance "
                "{_target_: losses.differentiable_augmentation.DifferentiableAugmentation}."
            )


def _without_null(chosen) -> dict:
    return {name: term for name, term in (chosen or {}).items() if term is not None}


def _part(item) -> Part:
    name, term = item
    return Part(name, term, term.weight, term.needs, term.every)


def _is_part(need) -> bool:
    return any(need == part or need.startswith(f"{part}.") for part in terms.PARTS)


def _needs_discriminator(part) -> bool:
    return any(terms.reads(part.needs, name) for name in ("real", "fake", "discriminator"))
