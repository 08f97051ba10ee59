"""The interface of a task, as the trainer uses it."""

from collections.abc import Callable
from typing import Any, Protocol

import keras
import tensorflow as tf

from training.kinds import kind as kinds

Batch = dict[str, tf.Tensor]
Metrics = dict[str, tf.Tensor]


class Task(Protocol):
    """Networks, optimizers, losses and averaged weights of one kind of training.

    A task computes one step on one replica. It has no loop over steps, no files and no config;
    the trainer has those, and has no code for networks or losses.
    """

    batches_per_step: int
    """Batches that one training step takes: its discriminator steps times its micro-batches."""

    intervals: tuple[int, ...]
    """Steps whose number is divisible by one of these have something more to do."""

    training_only: tuple[str, ...]
    """Constructor arguments that `generate` does not need; they may be None where
    only `build_for_inference` is called."""

    kind: kinds.Kind
    """What the network reads and makes; sheets and commands use it."""

    @property
    def networks(self) -> dict[str, keras.Model]:
        """The networks by name, those that the task was given."""

    def build(
        self, spec: dict[str, tf.TensorSpec], prepare: Callable[[dict], None] | None = None
    ) -> None:
        """Creates every variable, optimizers included. Raises KeyError for a missing batch key.

        Args:
            spec: of the batches.
            prepare: called with `networks` once they are built, before optimizers and averages
                are: it may set variables and freeze layers.
        """

    def build_for_inference(self, spec: dict[str, tf.TensorSpec]) -> None:
        """Creates the variables of `generation_state` and no other: all that `generate` reads.

        Such a task generates; it cannot be trained.
        """

    @property
    def phases(self) -> dict[int, Callable[[list[Batch], tf.Tensor, tuple[int, ...]], Metrics]]:
        """First step of a phase -> what a step is from there on; the first phase starts at 0.

        A step runs on one replica and applies its gradients. It is called with

            batches: `batches_per_step` dicts of tensors of this replica's share;
            seed: int32 [2], (seed of the run, step): the same on every replica;
            due: those of `intervals` that divide the number of the step;

        and returns a flat dict of float32 scalars, named "group/name", means over this replica's
        share: the same names throughout a phase, and more in steps with something due.
        """

    def after_step(self, metrics: Metrics) -> None:
        """Cross-replica work after a step: averaged weights, state of losses.

        Args:
            metrics: what the step returned, means over the replicas.
        """

    def prepare_generation(self, batches) -> None:
        """Makes the averaged weights ready for use.

        Args:
            batches: iterable of (distributed) training batches, always the same ones.
        """

    @property
    def generating_network(self) -> keras.Model:
        """The network that `generate` calls."""

    def generate(self, batch: Batch, seeds: tf.Tensor) -> dict[str, tf.Tensor]:
        """Outputs of the averaged generator at inference.

        Args:
            batch: conditions, [B, ...].
            seeds: int32 [B], one noise seed for each item.
        """

    def previews(self, batch: Batch, seeds: tf.Tensor) -> dict[str, tf.Tensor]:
        """Pictures for a sheet, by column title: images float32 [B,H,W,3] in [-1, 1], or class ids
        int [B,H,W].

        Columns named "sheet/title" make a sheet of their own.
        """

    def generation_state(self) -> dict[str, Any]:
        """The part of `state` that `generate` reads."""

    def state(self) -> dict[str, Any]:
        """Everything a checkpoint holds: owner name -> object with `.variables`."""
