"""LPIPS with loops over positions in float64, and random weights for it."""

import numpy as np

SHIFT, SCALE = np.array([-0.030, -0.088, -0.188]), np.array([0.458, 0.448, 0.450])
# torchvision's `features`, one entry each: (kind, size, stride, padding); "tap" ends a stage.
ALEX = {0: ("conv", 11, 4, 2), 1: "tap", 2: ("pool", 3), 3: ("conv", 5, 1, 2), 4: "tap",
        5: ("pool", 3), 6: ("conv", 3, 1, 1), 7: "tap", 8: ("conv", 3, 1, 1), 9: "tap",
        10: ("conv", 3, 1, 1), 11: "tap"}  # fmt: skip
VGG = {index: ("conv", 3, 1, 1) for index in (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)}
VGG |= {index: ("pool", 2) for index in (4, 9, 16, 23)}
VGG |= {index: "tap" for index in (3, 8, 15, 22, 29)}
SQUEEZE = {0: ("conv", 3, 2, 0), 1: "tap", 2: ("ceil", 3), 3: ("fire",), 4: ("fire", "tap"),
           5: ("ceil", 3), 6: ("fire",), 7: ("fire", "tap"), 8: ("ceil", 3), 9: ("fire", "tap"),
           10: ("fire", "tap"), 11: ("fire", "tap"), 12: ("fire", "tap")}  # fmt: skip
LAYERS = {"alex": ALEX, "vgg": VGG, "squeeze": SQUEEZE}


def random_weights(network, widths, seed=0):
    """A state dict of torchvision's layout, float32; `widths` of its convolutions in order.

    A fire module is as wide as said in each of its two branches.
    """
    draw, state, channels, taps, widths = np.random.default_rng(seed), {}, 3, [], list(widths)

    def convolution(name, inputs, outputs, size):
        deviation = np.sqrt(2 / (inputs * size * size))
        state[f"{name}.weight"] = draw.normal(0, deviation, [outputs, inputs, size, size])
        state[f"{name}.bias"] = draw.normal(0, 0.1, [outputs])

    for index, layer in sorted(LAYERS[network].items()):
        if layer[0] == "conv":
            width = widths.pop(0)
            convolution(f"features.{index}", channels, width, layer[1])
            channels = width
        elif layer[0] == "fire":
            width = widths.pop(0)
            convolution(f"features.{index}.squeeze", channels, 2, 1)
            for size in (1, 3):
                convolution(f"features.{index}.expand{size}x{size}", 2, width, size)
            channels = 2 * width
        if "tap" in layer:
            taps.append(channels)
    state["classifier.1.weight"] = draw.normal(size=[5, 7])
    heads = {f"lin{i}.model.1.weight": draw.uniform(0, 1, [1, c, 1, 1]) for i, c in enumerate(taps)}
    return tuple({k: v.astype(np.float32) for k, v in part.items()} for part in (state, heads))


def convolved(x, state, name, stride=1, padding=0):
    """ReLU of a convolution of one image [H, W, C]."""
    kernel, bias = (state[f"{name}.{part}"].astype(np.float64) for part in ("weight", "bias"))
    x = np.pad(x, [(padding, padding), (padding, padding), (0, 0)])
    size, flat = kernel.shape[2], kernel.transpose(0, 2, 3, 1).reshape(len(kernel), -1)
    rows, columns = ((n - size) // stride + 1 for n in x.shape[:2])
    result = np.empty([rows, columns, len(kernel)])
    for row in range(rows):
        for column in range(columns):
            top, left = row * stride, column * stride
            window = x[top : top + size, left : left + size]
            result[row, column] = flat @ window.ravel() + bias
    return np.maximum(result, 0.0)


def pooled(x, size, ceil):
    """Maximum of windows at every second pixel; `ceil`: of the rest at the end too."""
    rows, columns = (len(range(0, n - (2 if ceil else size) + 1, 2)) for n in x.shape[:2])
    result = np.empty([rows, columns, x.shape[2]])
    for row in range(rows):
        for column in range(columns):
            window = x[2 * row : 2 * row + size, 2 * column : 2 * column + size]
            result[row, column] = window.max(axis=(0, 1))
    return result


def maps(image, network, state):
    """Maps of one image, float [H, W, 3] in [-1, 1], after each stage."""
    x, taps = (image - SHIFT) / SCALE, []
    for index, layer in sorted(LAYERS[network].items()):
        name = f"features.{index}"
        if layer[0] == "conv":
            x = convolved(x, state, name, *layer[2:])
        elif layer[0] in ("pool", "ceil"):
            x = pooled(x, layer[1], layer[0] == "ceil")
        elif layer[0] == "fire":
            squeezed = convolved(x, state, f"{name}.squeeze")
            one = convolved(squeezed, state, f"{name}.expand1x1")
            three = convolved(squeezed, state, f"{name}.expand3x3", 1, 1)
            x = np.concatenate([one, three], axis=2)
        if "tap" in layer:
            taps.append(x)
    return taps


def distance(first, second, network, state, heads):
    """LPIPS of two images of 8-bit levels [H, W, 3]."""
    both = [maps(levels / 127.5 - 1.0, network, state) for levels in (first, second)]
    total = 0.0
    for index, (a, b) in enumerate(zip(*both, strict=True)):
        head, values = heads[f"lin{index}.model.1.weight"].ravel().astype(np.float64), []
        for u, v in zip(a.reshape(-1, len(head)), b.reshape(-1, len(head)), strict=True):
            u, v = (w / (np.sqrt(np.sum(w * w)) + 1e-10) for w in (u, v))
            values.append(np.sum(head * (u - v) ** 2))
        total += np.mean(values)
    return total
