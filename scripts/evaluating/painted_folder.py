"""Images of a folder that were made from label maps, judged by the maps of another folder."""

import copy
from pathlib import Path

from data import pipeline
from data.images import decoded_cache
from data.sources import paired_folders, splits
from scripts.evaluating import real_images, subjects
from training.kinds import kind as kinds
from training.kinds import semantic


class PaintedKind(kinds.Kind):
    """Images that belong to label maps, wherever they come from."""

    name = "painted"
    provides = frozenset({"label_map"})
    judge = semantic.Semantic.judge
    classes = "label_map"

    def given(self, batch, colorize=None, image_class_names=()) -> tuple[dict, list[str]]:
        """The label maps; the images themselves are what is measured."""
        return super().given({"label_map": batch["label_map"]}, colorize)


class PaintedPairs(paired_folders.PairedFolders):
    """Images and label maps of the same names."""

    def _advice(self, photos, labels) -> str:
        return ""  # the command has no settings for it


class PaintedFolder:
    """The images of one folder beside the label maps of another, as the judge knows the classes.

    Args:
        config: settings of configs/evaluate.yaml.

    Raises:
        FileNotFoundError, ValueError: a folder is missing; files without a partner, or of other
            sizes than it or the judge; values in maps that are no classes of the judge.
    """

    kind, run, inputs, random = PaintedKind(), None, None, False
    kind_name = PaintedKind.name
    protocol: dict = {}

    def __init__(self, config) -> None:
        self.name = self.title = str(Path(config.fake))
        self.described = f"the images of {self.name}"
        subjects.refuse_missing(config, "fake", "labels")
        judge = subjects.judge_of(config.judge, self, config.device)
        encoding = copy.copy(judge.data.encoding)
        encoding.check, encoding.sample_size = "all", None
        fake, labels = (str(Path(folder).absolute()) for folder in (config.fake, config.labels))
        source = paired_folders.PairedFolders(
            fake, photos=fake, labels=labels, splits=splits.NoSplits()
        )
        self.data = pipeline.ImagePipeline(
            source, list(judge.data.image_size), encoding=encoding,
            cache=decoded_cache.CacheSettings("none"), **subjects.reading(config),
        )  # fmt: skip
        self.data.check()
        known = tuple(judge.data.image_size)
        given = config.image_size and tuple(config.image_size)
        found = given or subjects.common_size(config, config.fake)
        if found != known:
            wanted, other = ("x".join(map(str, size)) for size in (known, found))
            raise ValueError(
                f"Expected images of {wanted} (height x width), the size that the judge knows. "
                f"Received: {'image_size' if given else self.name} of {other}. Have images and "
                f"maps resized: image_size=[{known[0]},{known[1]}]"
            )
        (self.split,) = source.splits
        self.class_names = tuple(encoding.class_names)
        self.out = config.out or subjects.OUT
        self._batch_size = config.batch_size

    @property
    def file_name(self) -> str:
        return f"images_{self.passport()['content_sha256'][:8]}"

    def generate(self, batch, indices, seed) -> dict:
        return {"image": batch["image"]}

    def passport(self) -> dict:
        """The images by their content; the maps stand in the protocol."""
        images = real_images.RealImages(self.data, self.split, self._batch_size, content=("image",))
        content = images.protocol()["content_sha256"]
        return {"folder": self.name, "content_sha256": content}
