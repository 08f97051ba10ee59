"""The contract of everything that a training minimises: what a term reads, and what it declares."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf

PARTS = (
    "batch", "generated", "real.inputs", "real.outputs", "fake.inputs", "fake.outputs",
    "generator", "discriminator",
)  # fmt: skip


Entries = Any  # dict[str, tf.Tensor] or of nested lists of tensors; None where no term needs it


@dataclass(frozen=True)
class Side:
    """What the discriminator was given and returned for the real or the fake images.

    `inputs` are all entries of the batch as they are after the augmentation, "image" the real or
    the generated one; of them the discriminator reads its `input_keys`. `outputs` are its outputs.
    Each is None where no term needs it.
    """

    inputs: Entries = None
    outputs: Entries = None


@dataclass(frozen=True)
class Step:
    """What a term may read of one update on one replica.

    Attributes:
        batch: what the data gave, all keys, before the augmentation.
        generated: what the generator returned; None where no term needs it.
        real, fake: see `Side`. Gradients reach the generator through `fake` in its own update.
        generator, discriminator: the networks, for penalties and path lengths.
        generator_inputs: what the generator was given, noise included.
        seed: int32 [2] of this step and replica; a term derives seeds of its own from it.
        augment: entries of a batch -> the same as the discriminator shall see them, with the
            draws that `real` and `fake` have.
    """

    batch: Entries = None
    generated: Entries = None
    real: Side = field(default_factory=Side)
    fake: Side = field(default_factory=Side)
    generator: Any = None
    discriminator: Any = None
    generator_inputs: Entries = None
    seed: tf.Tensor | None = None
    augment: Callable[[dict], dict] = dict

    def discriminate(self, inputs: dict[str, tf.Tensor]) -> dict[str, Any]:
        """One more pass of the discriminator, on entries such as `real.inputs | {"image": x}`."""
        network = self.discriminator
        return network({key: inputs[key] for key in network.input_keys}, training=True)


class Term:
    """What a network minimises beside others: called with a `Step`.

    Call arguments:
        step: Step.

    Returns: float32 scalar without the weight; or a dict of it, "loss", and scalars to log.

    Attributes, which a term sets or leaves at their defaults:
        weight: factor of the loss in the total of its network.
        needs: which of PARTS it reads; what no term needs is not computed. "real.inputs.hole" or
            "fake.inputs.hole" also names an entry of the batch that it requires.
        every: 1 = in each step. 16 = lazy: only in steps whose number is divisible by 16, in an
            update of its own, with the loss times 16.
        variables: state, which is saved in checkpoints and the same on every replica. Made in the
            constructor, or in `build(outputs)` where a term has that method: called once before
            training, with the TensorSpec of each output of the discriminator.
        forbids_batch_statistics: whether it makes no sense where the discriminator's output for
            an image depends on its batch-mates.
    """

    weight: float = 1.0
    needs: Sequence[str] = ()
    every: int = 1
    variables: Sequence[tf.Variable] = ()
    forbids_batch_statistics: bool = False

    def __call__(self, step: Step) -> tf.Tensor | dict[str, tf.Tensor]:
        raise NotImplementedError

    def after(self, metrics: dict[str, tf.Tensor]) -> None:
        """Moves `variables`; called across replicas after each step in which the term took part.

        Args:
            metrics: scalars that the update of its network logged, means over all replicas: those
                that the term returned, by their names, and its loss by the name of the term.
        """
        return None  # a body of its own, without which AutoGraph warns


class AdversarialLoss:
    """A pair of terms with shared state: `generator(step)` and `discriminator(step)`.

    Each is called and returns as a `Term` does, and reads its part of the needs. `variables` and
    `after`, called with the metrics of the discriminator's update, as those of `Term`.
    """

    generator_needs: Sequence[str] = ("fake.outputs",)
    discriminator_needs: Sequence[str] = ("real.outputs", "fake.outputs")
    variables: Sequence[tf.Variable] = ()

    def generator(self, step: Step) -> tf.Tensor | dict[str, tf.Tensor]:
        raise NotImplementedError

    def discriminator(self, step: Step) -> tf.Tensor | dict[str, tf.Tensor]:
        raise NotImplementedError

    def after(self, metrics: dict[str, tf.Tensor]) -> None:
        """See `Term.after`."""
        return None


class Augmentation:
    """Changes what a network sees in training, images and maps together.

    Call arguments:
        inputs: dict of all entries of a batch.
        seed: int32 [2] of this step and replica.

    Returns: dict with the same keys.

    Attributes:
        moves: keys of the entries whose pixels do not stay in place, or are lost. A network or term
            that compares two maps of an image needs none or all of them moved.
        variables, after: as those of `Term`, with the metrics of the discriminator's update.
    """

    moves: Sequence[str] = ()
    variables: Sequence[tf.Variable] = ()

    def __call__(self, inputs: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
        raise NotImplementedError

    def observe(self, step: Step) -> dict[str, tf.Tensor]:
        """Scalars to log of the discriminator's update, from its outputs; for `after`."""
        return {}

    def after(self, metrics: dict[str, tf.Tensor]) -> None:
        """See `Term.after`."""
        return None


def reads(needs: Sequence[str], part: str) -> bool:
    """Whether some of the needs are a part, or lie within it: "fake", "fake.outputs"."""
    return any(need == part or need.startswith(f"{part}.") for need in needs)
