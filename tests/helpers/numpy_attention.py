"""Attentive normalisation in NumPy, by its definition."""

import numpy as np


def naive(x, weights, positions, *, pool, temperature, value_bias=0.0, epsilon=1e-5):
    """The layer's definition, one image, entity and position at a time; also for complex x."""
    batch, height, width, channels = x.shape
    dtype = np.result_type(x, *weights.values())
    n = len(weights["entity_weight"])
    outputs, layout = np.zeros(x.shape, dtype), np.zeros((batch, height, width, n), dtype)
    grid = [(row, column) for row in range(height) for column in range(width)]
    for b in range(batch):
        sampled = []
        for position in () if positions is None else positions[b]:
            row, column = divmod(int(position), -(-width // pool))
            window = x[b, pool * row :, pool * column :][:pool, :pool].reshape(-1, channels)
            keys = window @ weights["key"]
            # The largest real part: complex steps must not change who wins.
            best = np.argmax(keys.real, axis=0)
            sampled.append(keys[best, range(keys.shape[1])])
        for row, column in grid:
            logits = np.zeros(n, dtype)
            for i in range(n):
                logits[i] = x[b, row, column] @ weights["entity_weight"][i]
                if sampled:
                    query = x[b, row, column] @ weights["query_kernel"]
                    logits[i] += weights["influence"][i] * (query @ sampled[i])
            powers = np.exp(temperature * logits)
            layout[b, row, column] = powers / powers.sum()
        value = (x[b] @ weights["value"] if "value" in weights else x[b]) + value_bias
        regional = np.zeros(x.shape[1:], dtype)
        for i in range(n):
            size = sum(layout[b, r, c, i] for r, c in grid)
            mean = sum(layout[b, r, c, i] * value[r, c] for r, c in grid) / size
            variance = sum(layout[b, r, c, i] * (value[r, c] - mean) ** 2 for r, c in grid) / size
            for r, c in grid:
                unit = (value[r, c] - mean) / np.sqrt(variance + epsilon)
                if "scale" in weights:
                    unit = unit * weights["scale"][i] + weights["shift"][i]
                regional[r, c] += layout[b, r, c, i] * unit
        outputs[b] = x[b] + weights["gate"] * regional
    return outputs, layout
