"""The order of training that draws classes evenly: a function of (seed, position) alone."""

import collections

import numpy as np
import tensorflow as tf

ROUND_KEY = 0xBA1A0
ITEM_KEY = 0xBA1A1


class ClassBalance:
    """Which example is at which position of a run, every class as often as any other.

    Each K neighbouring positions, K the number of classes with examples, hold one of each class, in
    an order drawn for them; a batch of a multiple of K has every class equally often. The examples
    of a class come in an order drawn anew whenever all of them have been shown: those of a small
    class come more often.

    Args:
        labels: class id of each example; ids without an example do not count.
        seed: int in 0..2^31-1, of the data order.

    Raises:
        ValueError: an example without a class.
    """

    def __init__(self, labels, seed) -> None:
        members = collections.defaultdict(list)
        for index, label in enumerate(labels):
            members[label].append(index)
        if None in members:
            raise ValueError(
                "Expected items whose class is known before they are read. Received: data without, "
                "data.class_balanced=true. Leave it out, or choose data=class_folders, "
                "data=synthetic_classes."
            )
        self.seed = seed
        of_classes = [members[label] for label in sorted(members)]
        self.counts = np.array([len(items) for items in of_classes], np.int64)
        self.indices = np.array(sum(of_classes, []), np.int64)  # class after class

    def example_at(self, position) -> tuple[tf.Tensor, tf.Tensor]:
        """The example at a position, int64 scalar tensor 0, 1, ... over the whole run.

        Returns:
            (epoch, index): int64 scalars; the epoch is how often the example was shown before.
        """
        classes = len(self.counts)
        turn, place = position // classes, position % classes
        chosen = _permutation(classes, self.seed + (ROUND_KEY << 32), turn)[place]
        count = tf.constant(self.counts)[chosen]
        epoch, place = turn // count, turn % count
        own = _permutation(count, self.seed + (ITEM_KEY << 32), epoch * 2**32 + chosen)[place]
        start = tf.constant(np.cumsum(self.counts) - self.counts)[chosen]
        return epoch, tf.constant(self.indices)[start + own]


def _permutation(count, key, number) -> tf.Tensor:
    """int64 [count], 0..count-1 in an order drawn for (key, number): each is equally likely."""
    seed = tf.stack([tf.constant(key, tf.int64), tf.cast(number, tf.int64)])
    drawn = tf.random.stateless_uniform([count], seed, None, None, tf.int32, alg="philox")
    return tf.cast(tf.argsort(drawn, stable=True), tf.int64)
