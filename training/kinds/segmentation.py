"""Label maps of photographs."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from training.kinds import kind, photographs


class Segmentation(kind.Kind):
    """Segmentation: a photograph in, the class of each of its pixels out.

    `sample` takes "image", a list of uint8 [H, W, 3]; each has a size of its own, and one
    `working_size` is that of all.
    """

    configurable = True

    name = "segmentation"
    condition = "image"
    makes_images = False
    pictured = "prediction"
    provides = frozenset({"label_map"})
    classes = "label_map"
    settings = ("images", "count")
    network_name = "segmenter"

    def check(self, *, seeds: Sequence[int] | None, layouts: bool) -> None:
        if seeds is not None or layouts:
            raise ValueError(
                "Expected neither seeds= nor layouts=: the network of this run takes no noise and "
                f"has no attentive normalisation. Received: seeds={seeds}, layouts={layouts}. "
                "Leave them out."
            )

    def working_size(self, run, size: tuple[int, int], resize: bool = True) -> tuple[int, int]:
        """The size to show a photograph at: all of it, at the scale of training."""
        if not resize:
            return size
        stride = run.task.generating_network.output_stride
        return run.data.resize.whole_size(size, run.data.load_size, stride)

    def sample(
        self, run, conditions: dict, seeds: Sequence[int] | None = None, *, layouts: bool = False,
        resize: bool = True,
    ) -> dict[str, list[np.ndarray]]:  # fmt: skip
        """The most probable class of each pixel.

        Args:
            conditions: photographs of one `working_size`.
            resize: False where the photographs have the scale of training already.

        Returns:
            "label_map": list of uint8 [H, W].
        """
        images = conditions["image"]
        size = self.working_size(run, images[0].shape[:2], resize)
        seen = [run.data.resize.whole_photo(tf.constant(image), size) for image in images]
        inputs = {"image": run.data.preprocess({"image": tf.stack(seen)})["image"]}
        logits = photographs.generate(run, inputs)["logits"]
        found = zip(logits, images, strict=True)
        return {"label_map": [most_probable(logit, image.shape[:2]) for logit, image in found]}

    def columns(self, run, item: dict, made: dict) -> dict[str, np.ndarray]:
        """{title: uint8 [H, W, 3]}, the row of a sheet for one photograph.

        Args:
            item: its "image", and its true "label_map" where the data have one.
            made: what `sample` made of it.
        """
        coloured = run.data.encoding.colors_of(made["label_map"])
        columns = {"photograph": item["image"]}
        if "label_map" in item:
            columns["true"] = run.data.encoding.colors_of(item["label_map"])
        overlay = np.uint8((np.uint16(item["image"]) + coloured) // 2)
        return columns | {"label map": coloured, "overlay": overlay}


def most_probable(logits: tf.Tensor, size) -> np.ndarray:
    """Class ids, uint8 [*size], of logits [h, w, K] enlarged bilinearly to a size.

    Class by class: the logits of a large photograph at its full size would fill the memory.
    """
    best, ids = tf.fill(size, -np.inf), tf.zeros(size, tf.uint8)
    for index in range(logits.shape[-1]):
        logit = tf.image.resize(logits[..., index : index + 1], size)[..., 0]
        ids = tf.where(logit > best, tf.constant(index, tf.uint8), ids)
        best = tf.maximum(logit, best)
    return ids.numpy()
