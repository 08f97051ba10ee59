"""Reconstruction of a painted image: mean absolute errors inside and outside of the hole."""

import tensorflow as tf

from losses import term

REGIONS = ("hole", "valid", "all")


def distance_to_known(hole) -> tf.Tensor:
    """Chessboard distance of every pixel to the nearest known one of its image.

    0 on known pixels, 1 on the rim of the hole. What lies beyond the image is not known. Counted by
    growing the known region by one pixel in every direction until nothing is left.

    Args:
        hole: float32 [B, H, W, 1] in {0, 1}.

    Returns:
        float32 [B, H, W, 1]; max(H, W) in an image without a known pixel.
    """
    known = 1.0 - hole
    most = max(hole.shape[1:3])

    def grow(step, reached, distance) -> tuple:
        return step + 1, tf.nn.max_pool2d(reached, 3, 1, "SAME"), distance + 1.0 - reached

    def unfinished(step, reached, distance) -> tf.Tensor:
        return tf.logical_and(step < most, tf.reduce_min(reached) < 1.0)

    return tf.while_loop(unfinished, grow, (0, known, tf.zeros_like(known)))[2]


def spatial_discount(hole, gamma: float) -> tf.Tensor:
    """gamma ^ (distance to the nearest known pixel - 1) in the hole: 1 on its rim; 0 elsewhere.

    In a rectangle of H x W: max(gamma^min(i, H-1-i), gamma^min(j, W-1-j)), i and j from 0. The
    formula of Yu et al. has H-i and W-j there: its lower and right rims weigh gamma, not 1, as if
    the hole went on for one more row and column.

    Args:
        hole: float32 [B, H, W, 1] in {0, 1}.
        gamma: in (0, 1].
    """
    return hole * tf.pow(gamma, tf.nn.relu(distance_to_known(hole) - 1.0))


class Reconstruction(term.Term):
    """Mean absolute error of the generator's proposal or result, a generator term.

    With a = |image - output| and M = hole, means over the pixels of a region and the channels:

        hole:  sum(a w M) / sum(M)             w = 1, or the spatial discount
        valid: sum(a (1 - M)) / sum(1 - M)
        all:   mean(a)

    Each is a mean for each image, then over images: pixels of a small hole weigh more than those of
    a large one, and an empty region counts 0. Where all holes of the batch are alike, valid is the
    published E[a (1 - M)] / E[1 - M]. The published hole term is a mean over a crop of fixed size:
    the same for a hole that fills its crop. A smaller hole leaves known pixels in the crop, which
    count there, in numerator and denominator.

    Args:
        output: "coarse" or "refined", the output compared; default "refined".
        region: "hole" (default), "valid" or "all".
        discount: float in (0, 1], gamma of `spatial_discount`, for the hole only; None (default) =
            1. The paper: 0.99; its released settings: 0.9.
        weight: factor in the generator's loss, applied by the task. Default 1.

    Call arguments:
        step: losses.term.Step; "image" float [B,H,W,3] and "hole" float [B,H,W,1] of `batch` are
            read, and `output` of `generated`.

    Returns: float32 scalar, without the weight.

    Raises:
        ValueError: an unknown region; a discount outside (0, 1] or of another region; the batch has
            no hole, or the generator no such output.

    Source: Yu et al., CVPR 2018, arXiv 1801.07892, section 3.2; JiahuiYu/generative_inpainting
    (branch v1.0.0), inpaint_model.py and inpaint_ops.py.
    """

    configurable = True

    needs = ("batch", "generated")

    def __init__(
        self,
        output: str = "refined",
        *,
        region: str = "hole",
        discount: float | None = None,
        weight: float = 1.0,
    ) -> None:
        if region not in REGIONS:
            raise ValueError(f"Expected one of the regions {REGIONS}. Received: region={region}.")
        if discount is not None and (region != "hole" or not 0 < discount <= 1):
            raise ValueError(
                "Expected a discount above 0 and up to 1, for the hole alone. Received: "
                f"discount={discount}, region={region}. Set it to null for none."
            )
        self.output = output
        self.region = region
        self.discount = discount
        self.weight = weight

    def __call__(self, step: term.Step) -> tf.Tensor:
        batch, generated = step.batch, step.generated
        if self.output not in generated or "hole" not in batch:
            raise ValueError(
                f'Expected a generator that returns "{self.output}" and a batch with "hole", as '
                f"inpainting has. Received: outputs={sorted(generated)}, batch={sorted(batch)}. "
                "Choose an inpainting generator and data with holes."
            )
        image, painted = batch["image"], generated[self.output]
        error = tf.abs(tf.cast(image, tf.float32) - tf.cast(painted, tf.float32))
        error = tf.reduce_mean(error, axis=-1, keepdims=True)
        region = self._region(tf.cast(batch["hole"], tf.float32))
        weighted = error * region
        if self.discount is not None:
            weighted = error * spatial_discount(region, self.discount)
        total, pixels = (tf.reduce_sum(x, axis=[1, 2, 3]) for x in (weighted, region))
        return tf.reduce_mean(total / tf.maximum(pixels, 1.0))

    def _region(self, hole) -> tf.Tensor:
        """float32 [B, H, W, 1], 1 in the region."""
        if self.region == "all":
            return tf.ones_like(hole)
        return hole if self.region == "hole" else 1.0 - hole
