"""The order of training: which example is at which position, a function of (seed, epoch) alone.

The run is one endless line of positions. Position p belongs to epoch p // count, and a permutation
drawn for the epoch says which example it is; so any batch can be named or read without going
through those of the epochs before it.
"""

import tensorflow as tf

PERMUTATION, INDEX_SHUFFLE = SHUFFLES = ("permutation", "index_shuffle")

SHUFFLE_KEY = 0x5EED
AUGMENT_KEY = 0xA06
HOLE_KEY = 0x401E0
FIXED_HOLE_KEY = 0x401E1
MAX_SEED = 2**31


def checked_seed(seed) -> int:
    """Returns the seed, or raises a ValueError if it is not an integer in 0..2^31-1."""
    if not isinstance(seed, int) or not 0 <= seed < MAX_SEED:
        raise ValueError(f"`seed` must be an integer in 0..2^31-1. Received: seed={seed!r}")
    return seed


def checked_shuffle(shuffle) -> str:
    """Returns the rule, or raises a ValueError if it is none of SHUFFLES."""
    if shuffle not in SHUFFLES:
        raise ValueError(f"`shuffle` must be one of {SHUFFLES}. Received: data.shuffle={shuffle!r}")
    return shuffle


def of_epoch(epoch, count, seed, shuffle=PERMUTATION) -> tf.Tensor:
    """The examples of an epoch in their order.

    Args:
        epoch: int64 scalar tensor.
        count: int, examples of the split.
        seed: int, seed of the data order.
        shuffle: "permutation" (default): every order is as likely as any other. "index_shuffle":
            the order of earlier runs; some places are likelier than others for small sets.

    Returns:
        int64 [count], a permutation of 0..count-1.
    """
    key = tf.stack([tf.constant(seed + (SHUFFLE_KEY << 32), tf.int64), epoch])
    if shuffle == INDEX_SHUFFLE:
        last = tf.constant(count - 1, tf.int64)
        return tf.random.experimental.index_shuffle(tf.range(count, dtype=tf.int64), key, last)
    drawn = tf.random.stateless_uniform([count], key, None, None, tf.int32, alg="philox")
    return tf.cast(tf.argsort(drawn, stable=True), tf.int64)


def example_at(position, count, seed, shuffle=PERMUTATION) -> tuple[tf.Tensor, tf.Tensor]:
    """The example at a position of the run, 0, 1, ... (int64 scalar tensor); see `of_epoch`.

    Returns:
        (epoch, index): int64 scalars, index in 0..count-1.
    """
    epoch, place = position // count, position % count
    return epoch, of_epoch(epoch, count, seed, shuffle)[place]


def line_from(position, count, seed, shuffle=PERMUTATION) -> tf.data.Dataset:
    """(epoch, index) at a position (int) of the run and at all after it: an order per epoch."""

    def epoch_of(epoch) -> tf.data.Dataset:
        indices = of_epoch(epoch, count, seed, shuffle)
        return tf.data.Dataset.from_tensor_slices((tf.fill([count], epoch), indices))

    epochs = tf.data.Dataset.counter(position // count, dtype=tf.int64)
    orders = epochs.flat_map(tf.autograph.experimental.do_not_convert(epoch_of))
    return orders.skip(position % count)


def part_of(line, *, global_batch_size, part, worker) -> tf.data.Dataset:
    """What a worker reads of a line: of each global batch one contiguous part of that length."""
    if part == global_batch_size:
        return line
    batches = line.batch(global_batch_size, drop_remainder=True)
    first = worker * part
    cut = batches.map(lambda *keys: tuple(key[first : first + part] for key in keys))
    return cut.unbatch()


def augmentation_seed(seed, epoch, index, place) -> tf.Tensor:
    """int64 [2] seed of the augmentation at a `place` of the list, for stateless ops."""
    key = tf.constant(seed + ((AUGMENT_KEY + place) << 32), tf.int64)
    return tf.stack([key, epoch * 2**32 + index])


def hole_seed(seed, epoch, index) -> tf.Tensor:
    """int64 [2] seed of the hole of a training example, for stateless ops."""
    return tf.stack([tf.constant(seed + (HOLE_KEY << 32), tf.int64), epoch * 2**32 + index])


def fixed_hole_seed(index) -> tf.Tensor:
    """int64 [2] seed of the hole of an evaluation item: a function of its index alone."""
    return tf.stack([tf.constant(FIXED_HOLE_KEY << 32, tf.int64), tf.cast(index, tf.int64)])


def part_sizes(
    count, *, global_batch_size, replica_batch_size, worker, num_workers
) -> tuple[int, int]:
    """Checks how a global batch is cut up; returns (examples per worker, per replica batch).

    Raises:
        ValueError: sizes that do not divide, or a batch larger than the data.
    """
    if global_batch_size < 1 or num_workers < 1 or global_batch_size % num_workers:
        raise ValueError(
            f"The global batch must be positive and divide by the number of workers. "
            f"Received: global_batch_size={global_batch_size}, num_workers={num_workers}"
        )
    if not 0 <= worker < num_workers:
        raise ValueError(
            f"`worker` counts from 0 to num_workers - 1. "
            f"Received: worker={worker}, num_workers={num_workers}"
        )
    part = global_batch_size // num_workers
    replica_batch_size = part if replica_batch_size is None else replica_batch_size
    if replica_batch_size < 1 or part % replica_batch_size:
        raise ValueError(
            f"A worker's part of the batch ({part}) must divide into replica batches. "
            f"Received: replica_batch_size={replica_batch_size}"
        )
    if global_batch_size > count:
        raise ValueError(
            f"A batch cannot be larger than the training split. Received: "
            f"global_batch_size={global_batch_size}, training examples={count}. "
            f"Lower trainer.batch_size or add data."
        )
    return part, replica_batch_size
