"""Cross entropy of classes: of whole images, or of each pixel."""

import tensorflow as tf


def cross_entropy_sums(
    logits, labels, *, label_smoothing=0.0, class_weights=None, ignore_index=255
) -> tuple[tf.Tensor, tf.Tensor]:
    """What `cross_entropy` divides: ([weighted sum], [sum of weights]), see there.

    For means over several replicas, which hold unequal numbers of ignored entries.

    Returns:
        (float32 scalar, float32 scalar).
    """
    logits = tf.cast(logits, tf.float32)
    labels = tf.cast(labels, tf.int32)
    counted = counted_entries(labels, ignore_index)
    labels = tf.where(counted, labels, 0)
    # -sum_k q_k log p_k with q = (1 - s) onehot + s / K.
    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    if label_smoothing:
        uniform = tf.reduce_logsumexp(logits, -1) - tf.reduce_mean(logits, -1)
        entropy = (1.0 - label_smoothing) * entropy + label_smoothing * uniform
    weights = entry_weights(labels, counted, class_weights)
    # Not a product alone: 0 * inf of an ignored entry would not be 0.
    return tf.reduce_sum(tf.where(counted, weights * entropy, 0.0)), tf.reduce_sum(weights)


def cross_entropy(logits, labels, **settings) -> tf.Tensor:
    """Weighted mean of -sum_k q_k log softmax(logits)_k over all entries that count, in float32.

    q is the label's one-hot vector, mixed with the uniform distribution by `label_smoothing`.

    Args:
        logits: float [B, ..., K].
        labels: int [B, ...], 0..K-1 or `ignore_index`.
        settings: as those of `CrossEntropy`.

    Returns:
        float32 scalar; 0 where no entry counts.
    """
    return tf.math.divide_no_nan(*cross_entropy_sums(logits, labels, **settings))


def entry_weights(labels, counted, class_weights) -> tf.Tensor:
    """float32, of the shape of `labels`: the weight of the class of each entry that counts, or 0.

    Args:
        labels: int32, 0..K-1, also where they do not count.
        counted: bool, which entries count.
        class_weights: a number for each class; None = 1 for all.
    """
    weights = tf.cast(counted, tf.float32)
    if class_weights is not None:
        weights *= tf.gather(tf.constant(class_weights, tf.float32), labels)
    return weights


def counted_entries(labels, ignore_index) -> tf.Tensor:
    """bool, of the shape of `labels`: which of them are not `ignore_index` (None: all)."""
    if ignore_index is None:
        return tf.ones_like(labels, tf.bool)
    return tf.not_equal(tf.cast(labels, tf.int32), ignore_index)


class CrossEntropy:
    """Softmax cross entropy of logits against integer labels, of images or of pixels.

        sum_i w[y_i] * H(q_i, softmax(logits_i)) / sum_i w[y_i],  q_i = (1 - s) onehot(y_i) + s / K

    over the entries i whose label is not `ignore_index`; the others have no part in either sum.

    Args:
        label_smoothing: s, in [0, 1). Default 0.
        class_weights: w, a float >= 0 for each class; None (default) = 1 for all.
        ignore_index: label of entries that do not count; None = all count. Default 255.

    Call arguments:
        logits: float [B, ..., K].
        labels: int [B, ...], 0..K-1 or `ignore_index`.

    Returns: float32 scalar, 0 where no entry counts. `sums` with the same arguments returns
        numerator and denominator, `total_weight` of the labels the denominator.

    Raises:
        ValueError: a setting out of its range; in the call, shapes that do not go together,
            weights of another number of classes, or an `ignore_index` that is a class.
        tf.errors.InvalidArgumentError: another label (on a CPU; GPUs return NaN for it).

    Source: Szegedy et al., arXiv 1512.00567, section 7 (label smoothing).
    """

    configurable = True

    def __init__(
        self,
        label_smoothing: float = 0.0,
        *,
        class_weights: list | None = None,
        ignore_index: int | None = 255,
    ) -> None:
        if not 0.0 <= label_smoothing < 1.0:
            raise ValueError(
                f"label_smoothing must be in [0, 1). Received: label_smoothing={label_smoothing}"
            )
        if class_weights is not None and (min(class_weights) < 0 or not any(class_weights)):
            raise ValueError(
                "class_weights must be at least 0, and not all 0. Received: "
                f"class_weights={list(class_weights)}"
            )
        self.label_smoothing = label_smoothing
        self.class_weights = class_weights
        self.ignore_index = ignore_index

    def __call__(self, logits, labels) -> tf.Tensor:
        return tf.math.divide_no_nan(*self.sums(logits, labels))

    def sums(self, logits, labels) -> tuple[tf.Tensor, tf.Tensor]:
        """(float32 weighted sum, float32 sum of weights) of the entries that count."""
        self._check(logits, labels)
        return cross_entropy_sums(
            logits,
            labels,
            label_smoothing=self.label_smoothing,
            class_weights=self.class_weights,
            ignore_index=self.ignore_index,
        )

    def total_weight(self, labels) -> tf.Tensor:
        """float32, the sum of weights that `sums` returns, from the labels alone."""
        counted = counted_entries(labels, self.ignore_index)
        labels = tf.where(counted, tf.cast(labels, tf.int32), 0)
        return tf.reduce_sum(entry_weights(labels, counted, self.class_weights))

    def _check(self, logits, labels) -> None:
        classes = logits.shape[-1]
        if not logits.shape[:-1].is_compatible_with(labels.shape):
            raise ValueError(
                "Expected a label for each vector of logits. Received: logits "
                f"{tuple(logits.shape)}, labels {tuple(labels.shape)}."
            )
        if self.class_weights is not None and len(self.class_weights) != classes:
            raise ValueError(
                f"Expected a weight for each of the {classes} classes. Received: "
                f"{len(self.class_weights)} class_weights."
            )
        if self.ignore_index is not None and 0 <= self.ignore_index < classes:
            raise ValueError(
                f"Expected an ignore_index that is none of the {classes} classes. Received: "
                f"ignore_index={self.ignore_index}. Set it to null where every label counts."
            )
