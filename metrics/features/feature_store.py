"""What one pass over images leaves behind for the metrics: the outputs of a network, in memory."""

import numpy as np


class FeatureStore:
    """Collects arrays by name, batch by batch, so that every metric sees the same images.

    10,000 images with 2048 features and 1008 logits in float32 take 122 MB.

    Call of `update_state(arrays, valid)`:
        arrays: dict of arrays [B, ...], such as "features" [B, D], "logits" [B, K], "label" [B];
            the same names, shapes behind B and dtypes at every call.
        valid: bool [B], False = padding of the last batch, which is left out. Default all true.

    `result()`: dict of arrays [N, ...] of the dtype they came in, in the order they came.
    `count`: int N, images so far.
    `reset_state()`: forgets all.

    Raises:
        ValueError: other names, shapes or dtypes than before; arrays of different length; values
            that are not finite, naming the array; `result` before any image.
    """

    def __init__(self) -> None:
        self.reset_state()

    def reset_state(self) -> None:
        self._batches, self.count = [], 0
        self._layout: dict = {}

    def update_state(self, arrays, valid=None) -> None:
        arrays = {name: np.asarray(values) for name, values in arrays.items()}
        lengths = {name: len(values) if values.ndim else None for name, values in arrays.items()}
        if valid is not None:
            valid = np.asarray(valid, bool)
            lengths["valid"] = len(valid)
        if not arrays or len(set(lengths.values())) != 1 or None in lengths.values():
            raise ValueError(
                f"Expected arrays with one entry for each image. Received: lengths {lengths}."
            )
        layout = {name: (values.shape[1:], values.dtype) for name, values in arrays.items()}
        if self._layout and self._layout != layout:
            raise ValueError(
                f"Expected shapes and dtypes as before, {self._layout}. Received: {layout}. "
                "Call reset_state before another kind of arrays."
            )
        if valid is not None:
            arrays = {name: values[valid] for name, values in arrays.items()}
        for name, values in arrays.items():
            if not np.all(np.isfinite(values)):
                raise ValueError(
                    f"Expected finite values. Received: {name} with "
                    f"{np.sum(~np.isfinite(values))} that are not. Look at the images, then at the "
                    "network that made them."
                )
        self._layout = layout
        # Copies: the caller may reuse its buffers.
        self._batches.append({name: values.copy() for name, values in arrays.items()})
        self.count += len(next(iter(arrays.values())))

    def result(self) -> dict[str, np.ndarray]:
        if not self.count:
            raise ValueError(
                "Expected at least one image. Received: none. Call update_state before result."
            )
        return {
            name: np.concatenate([batch[name] for batch in self._batches]) for name in self._layout
        }
