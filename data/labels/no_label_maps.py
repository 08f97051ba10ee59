"""The encoding of data without label maps: the interface of LabelEncoding, without classes."""

from data.labels import label_maps


class NoLabelMaps:
    """In the place of a LabelEncoding: the label maps of a source, if it has any, are not read.

    Args:
        check: photographs read before training: "all", "sample:<n>" per split, or "none".
            Default "sample:1000".
        mask_in_step: bool. True leaves the scaling of the uint8 image to [-1, 1] to the compiled
            train step, so a quarter of the bytes travels to the device. Default False.

    Raises:
        ValueError: `check` is none of these.
    """

    configurable = True

    has_maps = False
    num_classes = 0
    class_names = ()
    class_colors = ()
    colors_of = None  # there are no label maps to colour
    colour_palette = None
    palette = None

    def __init__(self, check="sample:1000", *, mask_in_step=False) -> None:
        self.check = check
        self.sample_size = label_maps.sample_size_of(check)
        self.mask_in_step = mask_in_step

    def settings(self) -> dict:
        """What cached examples depend on, as JSON-clean values."""
        return {"label_maps": "none"}
