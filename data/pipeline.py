"""From a source to batches: the one file that shuffles, repeats, batches, prefetches, shards."""

import functools
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from data import balance, order, preprocessing, transforms
from data.images import bad_items, decoded_cache, decoding, photos
from data.labels import label_check, no_label_maps


class ImagePipeline:
    """Batches of photographs with label maps or classes; every pixel is a function of the settings.

    Files are decoded and resized once and kept as uint8; augmenting, holes, batching, scaling to
    [-1, 1] and the one-hot `mask` follow for every batch. The order of training is a function of
    (seed, epoch), every augmentation and hole of (seed, epoch, index): runs start at any batch.

    Args:
        source: where the items are, such as PairedFolders.
        image_size: [height, width] of the batches.
        root: folder of the data set, beside which caches are kept. Default: the source's.
        encoding: LabelEncoding, what the values in the label maps mean. Default NoLabelMaps():
            batches hold the image and, where the source has classes, its label.
        resize: transforms.Resize. Default: stretch to image_size, photographs bicubic.
        augmentations: {name: augmentation; None = left out}, applied to training examples in this
            order, after which a centre crop brings what is larger to image_size. Default none.
            Evaluation sees the whole picture at image_size instead, see `Resize`.
        cache: CacheSettings. Default: automatic.
        holes: hole maker such as holes.RandomRectangle: batches get "hole" (1 = missing) and
            "masked_image". Evaluation holes depend on the index alone. Default None: no holes.
        shuffle: "permutation" (default), or "index_shuffle", see `order.of_epoch`.
        class_balanced: bool, whether training draws the classes of images evenly, see
            balance.ClassBalance. Default False: every item once an epoch.
        background: [red, green, blue] behind transparent parts of photographs. Default None: the
            colours hidden under them, as in earlier runs.
        bits_used: of photographs with 16 bits a channel, see photos.PhotoReader. Default None.
        seed: int in 0..2^31-1, of order, augmentations and holes. Default 0.
        on_bad_item: what becomes of items that cannot be read, found by no check before: "stop"
            (default), or "skip": others take their place, see bad_items.BadItems.

    Raises:
        ValueError: a size, a seed or a rule that cannot be.
    """

    configurable = True

    def __init__(
        self, source, image_size, *, encoding=None, root=None, resize=None, augmentations=None,
        cache=None, holes=None, shuffle=order.PERMUTATION, class_balanced=False, seed=0,
        on_bad_item="stop", background=None, bits_used=None,
    ) -> None:  # fmt: skip
        self.source = source
        self.image_size = transforms.checked_size("image_size", image_size)
        self.root = source.root if root is None else os.path.expanduser(str(root))
        self.encoding: Any = encoding or no_label_maps.NoLabelMaps()
        self.num_classes: int = self.encoding.num_classes
        self.class_names: tuple[str, ...] = self.encoding.class_names
        self.class_colors: tuple = self.encoding.class_colors
        self.resize = resize or transforms.Resize()
        self.augmentations = {k: a for k, a in (augmentations or {}).items() if a is not None}
        self.cache = cache or decoded_cache.CacheSettings()
        self.holes = holes
        self.reader = photos.PhotoReader(background, bits_used)
        self.shuffle = order.checked_shuffle(shuffle)
        self.class_balanced = class_balanced
        self.seed = order.checked_seed(seed)
        self.on_bad_item = bad_items.checked_rule(on_bad_item)
        self.load_size = self.resize.load_size or self.image_size
        if any(a < b for a, b in zip(self.load_size, self.image_size, strict=True)):
            raise ValueError(
                f"Images are cut from the loaded size, so it cannot be smaller. Received: "
                f"data.resize.load_size={list(self.load_size)}, "
                f"data.image_size={list(self.image_size)}"
            )
        self._stores: dict = {}
        self._bad: dict = {}

    @functools.cached_property
    def _balance(self) -> balance.ClassBalance:
        labels = [getattr(record, "label", None) for record in self.source.records("train")]
        return balance.ClassBalance(labels, self.seed)

    def _line(self, position) -> tf.data.Dataset:
        """(epoch, index) of the training examples at a position of the run (int) and after it."""
        if self.class_balanced:
            positions = tf.data.Dataset.counter(position, dtype=tf.int64)
            return positions.map(self._balance.example_at)
        return order.line_from(position, self.num_examples("train"), self.seed, self.shuffle)

    @property
    def image_class_names(self) -> tuple[str, ...]:
        """Classes of whole images; empty when the source has none."""
        return self.source.image_class_names

    @property
    def element_spec(self) -> dict[str, tf.TensorSpec]:
        """{key: TensorSpec} of training batches, with an open batch dimension."""
        return self.spec(labelled=bool(self.image_class_names))

    def spec(self, *, labelled) -> dict[str, tf.TensorSpec]:
        """`element_spec` of data with classes or without, known before a look at the files."""
        return preprocessing.spec(
            self.image_size, self.encoding, labelled=labelled, with_holes=self.holes is not None
        )

    def num_examples(self, split) -> int:
        return self.source.count(split)

    def check(self) -> label_check.LabelReport | None:
        """Checks the files of all splits as `encoding.check` says; returns a LabelReport or None.

        Raises:
            FileNotFoundError, ValueError: what is wrong with which files and what helps.
        """
        for split in self.source.splits:  # Missing folders and orphans, whatever `check` says.
            self.source.records(split)
        if self.class_balanced:
            _ = self._balance  # refuses items without a class
        if self.holes is not None:
            self.holes.fixed(tf.constant(0, tf.int64), *self.image_size)
        if self.encoding.sample_size == 0:
            return None
        return label_check.check_source(
            self.source, self.encoding, self.cache.resolved_folder(self.root), reader=self.reader
        )

    def training_dataset(
        self, start_batch=0, *, global_batch_size, replica_batch_size=None, worker=0, num_workers=1
    ) -> tf.data.Dataset:
        """Endless batches of the training split, from batch `start_batch` of the run on.

        Args:
            start_batch: int, global batches that were used before; they cost nothing.
            global_batch_size: int, examples per global batch over all workers.
            replica_batch_size: int, examples per dataset element. Default: the worker's part.
            worker: int, which contiguous part of every global batch to read. Default 0.
            num_workers: int, parts per global batch. Default 1.

        Returns:
            tf.data.Dataset of dicts as `element_spec`, with static shapes.

        Raises:
            ValueError: sizes that do not divide, or a batch larger than the training split.
        """
        count = self.num_examples("train")
        part, replica_batch_size = order.part_sizes(
            count,
            global_batch_size=global_batch_size,
            replica_batch_size=replica_batch_size,
            worker=worker,
            num_workers=num_workers,
        )
        store = self._store("train")

        def example(epoch, index) -> dict[str, tf.Tensor]:
            return self._augment(store.read(index), epoch, index)

        line = self._line(int(start_batch) * global_batch_size)
        line = order.part_of(line, global_batch_size=global_batch_size, part=part, worker=worker)
        return self._batches(line, example, replica_batch_size)

    def evaluation_dataset(self, split, batch_size, num_images=None) -> tf.data.Dataset:
        """Every item of a split once, in fixed order, not augmented, with the key `valid`.

        The last batch is filled with repetitions of the last item whose `valid` is False. With
        `num_images`, so many items at most, spread evenly: items are often sorted by class.
        """
        total = self.num_examples(split)
        count = min(total, num_images or total)
        if batch_size < 1:
            raise ValueError(f"`batch_size` must be positive. Received: batch_size={batch_size}")
        item = self._evaluation_item(split)

        def example(place) -> dict[str, tf.Tensor]:
            number = tf.minimum(place, count - 1)
            return item(number * total // count) | {"valid": place < count}

        places = tf.data.Dataset.range(-(-count // batch_size) * batch_size)
        return self._batches(places, example, batch_size)

    def examples(self, split, count=None) -> tuple[list[str], dict[str, tf.Tensor]]:
        """Items spread evenly over a split, as evaluation sees them.

        Args:
            split: str.
            count: int, how many (at most all). Default all.

        Returns:
            (names, complete batch of these items).
        """
        names = self.evaluation_names(split)
        count = len(names) if count is None else min(count, len(names))
        if count < 1:
            raise ValueError(f"Expected at least one item. Received: count={count}")
        places = [place * len(names) // count for place in range(count)]
        items = self.reading(split, lambda: self._items(split, places))
        stacked = {key: tf.stack([item[key] for item in items]) for key in items[0]}
        return [names[place] for place in places], self.preprocess(stacked)

    def _items(self, split, places) -> list[dict[str, tf.Tensor]]:
        item = tf.function(self._evaluation_item(split), autograph=False)
        return [item(tf.constant(place, tf.int64)) for place in places]

    def reading(self, split, read: Callable[[], Any]) -> Any:
        """What `read` returns, called again for as long as items that it cannot read are mended.

        Raises:
            ValueError: an item of the split is bad; names the file and what is wrong with it.
        """
        again = True  # once where nothing is found: it was of the moment, or mended meanwhile
        while True:
            try:
                return read()
            except tf.errors.OpError as error:
                hopeless = isinstance(error, tf.errors.ResourceExhaustedError)
                if hopeless or not (self.mend(split) or again):
                    raise
                again = False

    def mend(self, split) -> bool:
        """Finds what cannot be read in a split; whether another try may go well.

        Raises:
            ValueError: an item is bad; names the file and what is wrong with it.
        """
        return self._evaluation_store(split).mend(range(self.num_examples(split)))

    def mend_batch(self, batch_index, global_batch_size) -> bool:
        """Finds what cannot be read in a global training batch; whether another try may go well.

        A dataset that is made after that has stand-ins for bad items, where they may be skipped.

        Raises:
            ValueError: an item is bad; names the file and what is wrong with it.
        """
        indices = self._indices(batch_index, global_batch_size)
        return self._store("train").mend(indices)

    def _indices(self, batch_index, global_batch_size) -> list[int]:
        """Items of a global training batch, in order."""
        line = self._line(batch_index * global_batch_size)
        return [int(index) for _, index in line.take(global_batch_size)]

    def preprocess(self, examples) -> dict[str, tf.Tensor]:
        """As `preprocessing.preprocess`; with `mask_in_step` the train step applies this."""
        return preprocessing.preprocess(examples, self.num_classes)

    def batch_names(self, batch_index, global_batch_size) -> list[str]:
        """Names of the items of a global training batch, in order."""
        records = self.source.records("train")
        return [records[index].name for index in self._indices(batch_index, global_batch_size)]

    def evaluation_names(self, split) -> list[str]:
        """Names of the items of a split, in the order of `evaluation_dataset`."""
        return [record.name for record in self.source.records(split)]

    def read_label_map(self, path, *, advice=None) -> np.ndarray:
        """Class ids of any label map file as evaluation sees them: uint8 [H, W].

        Raises:
            FileNotFoundError, ValueError: as `LabelEncoding.read`.
        """
        size = self.resize.evaluation_size(self.image_size)
        ids = self.resize.label_map(tf.constant(self.encoding.read(path, advice=advice)), size)
        return transforms.center_crop({"label_map": ids}, self.image_size)["label_map"].numpy()

    def read_image(self, path) -> np.ndarray:
        """Any photograph as evaluation sees it: float32 [H, W, 3] in [-1, 1].

        Raises:
            FileNotFoundError, ValueError: as `photos.PhotoReader.read`.
        """
        size = self.resize.evaluation_size(self.image_size)
        image = self.resize.photo(tf.constant(self.reader.read(path)), size)
        cut = transforms.center_crop({"image": image}, self.image_size)
        return transforms.to_unit_range(cut["image"]).numpy()

    def _evaluation_item(self, split) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
        """A function of an index: one item as evaluation sees it, with its hole."""
        store = self._evaluation_store(split)

        def item(index) -> dict[str, tf.Tensor]:
            example = transforms.center_crop(store.read(index), self.image_size)
            if self.holes is None:
                return example
            return example | {"hole": self.holes.fixed(index, *self.image_size)}

        return item

    def _augment(self, example, epoch, index) -> dict[str, tf.Tensor]:
        for place, augment in enumerate(self.augmentations.values()):
            example = augment(example, order.augmentation_seed(self.seed, epoch, index, place))
        example = transforms.center_crop(example, self.image_size)
        if self.holes is None:
            return example
        seed = order.hole_seed(self.seed, epoch, index)
        return example | {"hole": self.holes(seed, *self.image_size)}

    def _batches(self, places, example, batch_size) -> tf.data.Dataset:
        dataset = _mapped(places, example).batch(batch_size, drop_remainder=True)
        if not self.encoding.mask_in_step:
            dataset = _mapped(dataset, self.preprocess)
        # Each worker reads its own part already; TensorFlow must not divide the data again.
        options = tf.data.Options()
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
        return dataset.prefetch(tf.data.AUTOTUNE).with_options(options)

    def _evaluation_store(self, split) -> Any:
        return self._store(split, self.resize.evaluation_size(self.image_size))

    def _store(self, split, size=None) -> Any:
        """The decoded examples of a split at a size, the loaded one by default; filled once."""
        size = size or self.load_size
        if (split, size) not in self._stores:
            source = self.source
            items, contents = source.records(split), source.contents(split)
            bad = bad_items.BadItems(split, len(items), self.on_bad_item)
            bad = self._bad.setdefault(split, bad)  # whatever the size, what is bad stays so
            decoder = decoding.Decoder(
                items, bad, self.encoding, self.resize, size, contents, self.reader
            )
            store = decoding.open_split(source, split, decoder, self.cache, self.root)
            self._stores[split, size] = store
        return self._stores[split, size]


def _mapped(dataset, function) -> tf.data.Dataset:
    function = tf.autograph.experimental.do_not_convert(function)
    return dataset.map(function, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
