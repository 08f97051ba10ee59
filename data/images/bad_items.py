"""Items that cannot be read: they end what reads them, or others stand in for them."""

import logging

import tensorflow as tf

log = logging.getLogger(__name__)

RULES = ("stop", "skip")
MAX_SHARE = 0.01


def checked_rule(rule) -> str:
    """Returns the rule, or raises a ValueError if it is none of RULES."""
    if rule not in RULES:
        raise ValueError(
            f"`on_bad_item` must be one of {RULES}. Received: data.on_bad_item={rule!r}"
        )
    return rule


class BadItems:
    """What is known of the items of a split that cannot be read.

    The next item that can be read stands in for one that cannot, the first after the last: which
    one depends on the set of bad items alone, not on the order in which they were found.

    Args:
        split: str, for messages.
        count: int, items of the split.
        rule: "stop", or "skip" for up to 1 % of the items, at least one.
    """

    def __init__(self, split, count, rule) -> None:
        self.split = split
        self.count = count
        self.rule = rule
        self.limit = min(max(1, int(count * MAX_SHARE)), count - 1)
        self._found: set[int] = set()

    def add(self, index, complaint) -> None:
        """Notes an item.

        Raises:
            ValueError: the rule is "stop", or there are too many; names the file and the defect.
        """
        if self.rule == "stop":
            raise ValueError(
                f"Every item of the split '{self.split}' must be readable. Received: {complaint}. "
                f"Afterwards resume the run; or data.on_bad_item=skip takes other items in the "
                f"place of up to {self.limit}"
            )
        if len(self._found | {index}) > self.limit:
            raise ValueError(
                f"At most {self.limit} of the {self.count} items of the split '{self.split}' may "
                f"be bad (data.on_bad_item=skip, 1 %). Received: another one, {complaint}"
            )
        if index not in self._found:
            self._found.add(index)
            log.warning(
                "Bad item %d of at most %d in split '%s', another takes its place: %s",
                len(self._found), self.limit, self.split, complaint,
            )  # fmt: skip

    def place_of(self, index) -> int:
        """The item that is read where this one is asked for."""
        while index in self._found:
            index = (index + 1) % self.count
        return index

    def place(self, index) -> tf.Tensor:
        """`place_of` as an op, of what is known when it is made."""
        if not self._found:
            return index
        bad = sorted(self._found)
        with tf.device("CPU:0"):
            asked = tf.constant(bad, index.dtype) == index
            stand_in = tf.gather(
                tf.constant([self.place_of(each) for each in bad], index.dtype), tf.argmax(asked)
            )
            return tf.where(tf.reduce_any(asked), stand_in, index)
