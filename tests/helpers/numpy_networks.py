"""The networks once more in NumPy float64, from the papers' formulas, with borrowed weights.

Nothing here calls TensorFlow: convolutions are sums over kernel positions, spectral norms come from
a singular value decomposition, statistics are plain means.
"""

import numpy as np


def one_hot(rng, batch, height, width, classes):
    return np.eye(classes, dtype="float32")[rng.integers(0, classes, (batch, height, width))]


def images(rng, batch, height, width):
    return rng.uniform(-1, 1, (batch, height, width, 3)).astype("float32")


def count(network):
    """Trainable parameters."""
    return sum(int(np.prod(variable.shape)) for variable in network.trainable_variables)


def array(variable):
    return np.asarray(variable.numpy(), dtype=np.float64)


def convolve(x, kernel, bias=None, stride=1, pad=0):
    """Cross-correlation with `pad` zeros on every side; kernel [kh, kw, c_in, c_out]."""
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    size = kernel.shape[0]
    rows = (x.shape[1] - size) // stride + 1
    columns = (x.shape[2] - size) // stride + 1
    out = np.zeros((x.shape[0], rows, columns, kernel.shape[-1]))
    for i in range(size):
        for j in range(size):
            part = x[:, i : i + stride * rows : stride, j : j + stride * columns : stride]
            out += part[:, :rows, :columns] @ kernel[i, j]
    return out if bias is None else out + bias


def kernel_and_bias(layer):
    """The kernel a layer uses (divided by its spectral norm if it has a `u`) and its bias."""
    kernel = array(layer.kernel)
    if hasattr(layer, "u"):
        kernel = kernel / np.linalg.norm(kernel.reshape(-1, kernel.shape[-1]), 2)
    return kernel, None if layer.bias is None else array(layer.bias)


def apply(layer, x, stride=1, pad=0):
    return convolve(x, *kernel_and_bias(layer), stride=stride, pad=pad)


def leaky_relu(x):
    return np.where(x > 0, x, 0.2 * x)


def nearest(mask, height, width):
    rows = [row * mask.shape[1] // height for row in range(height)]
    columns = [column * mask.shape[2] // width for column in range(width)]
    return mask[:, rows][:, :, columns]


def normalize(x, axes, epsilon=1e-5):
    mean = x.mean(axes, keepdims=True)
    return (x - mean) / np.sqrt(((x - mean) ** 2).mean(axes, keepdims=True) + epsilon)


def normalize_by_class(x, gamma, beta, labels):
    """Every image, row and column with the scale and shift of its class."""
    normalized = normalize(x.astype("float64"), (0, 1, 2))
    out = np.zeros_like(normalized)
    for image, label in enumerate(labels):
        for row in range(x.shape[1]):
            for column in range(x.shape[2]):
                out[image, row, column] = gamma[label] * normalized[image, row, column]
                out[image, row, column] += beta[label]
    return out


def spade(layer, x, mask, training):
    if layer.statistics == "instance":
        normalized = normalize(x, (1, 2))
    elif training:
        normalized = normalize(x, (0, 1, 2))
    else:
        moving = layer.normalization
        normalized = (x - array(moving.moving_mean)) / np.sqrt(array(moving.moving_variance) + 1e-5)
    pad = layer.kernel_size // 2
    hidden = np.maximum(apply(layer.shared, nearest(mask, *x.shape[1:3]), pad=pad), 0)
    gamma, beta = apply(layer.gamma, hidden, pad=pad), apply(layer.beta, hidden, pad=pad)
    return normalized * (1 + gamma) + beta


def block(layer, x, mask, training):
    y = apply(layer.conv_1, leaky_relu(spade(layer.norm_1, x, mask, training)), pad=1)
    y = apply(layer.conv_2, leaky_relu(spade(layer.norm_2, y, mask, training)), pad=1)
    if x.shape[-1] == layer.filters:
        return x + y
    return apply(layer.conv_skip, spade(layer.norm_skip, x, mask, training)) + y


def generator(network, mask, noise=None, training=False):
    stride = 2 ** sum(network.upsample)
    height, width = mask.shape[1] // stride, mask.shape[2] // stride
    if noise is None:
        x = apply(network.start, nearest(mask, height, width), pad=1)
    else:
        x = noise @ array(network.start.kernel) + array(network.start.bias)
        x = x.reshape(len(noise), height, width, -1)
    for layer, upsample in zip(network.blocks, network.upsample, strict=True):
        if upsample:
            x = x.repeat(2, axis=1).repeat(2, axis=2)
        x = block(layer, x, mask, training)
    return np.tanh(apply(network.to_image, leaky_relu(x), pad=1))


def halve(x):
    """Mean of the real pixels under each 3 x 3 window, stride 2, windows starting at -1."""
    rows, columns = (x.shape[1] - 1) // 2 + 1, (x.shape[2] - 1) // 2 + 1
    out = np.zeros((x.shape[0], rows, columns, x.shape[3]))
    for i in range(rows):
        for j in range(columns):
            window = x[:, max(2 * i - 1, 0) : 2 * i + 2, max(2 * j - 1, 0) : 2 * j + 2]
            out[:, i, j] = window.mean((1, 2))
    return out


def discriminator(network, mask, image):
    """Returns (logits, features) as the network nests them."""
    x = np.concatenate([mask, image], -1)
    logits, features = [], []
    for scale, critic in enumerate(network.critics):
        x = halve(x) if scale else x
        y = leaky_relu(apply(critic.first, x, stride=2, pad=2))
        features.append([y])
        for index, layer in enumerate(critic.middle):
            stride = 1 if index == len(critic.middle) - 1 else 2
            y = leaky_relu(normalize(apply(layer, y, stride=stride, pad=2), (1, 2)))
            features[-1].append(y)
        logits.append(apply(critic.last, y, pad=2))
    return logits, features


def bilinear(x, side):
    """Half-pixel bilinear sampling without antialiasing, edges repeated."""
    for axis in (1, 2):
        size = x.shape[axis]
        position = np.clip((np.arange(side) + 0.5) * size / side - 0.5, 0, size - 1)
        low = np.floor(position).astype(int)
        high = np.minimum(low + 1, size - 1)
        share = (position - low).reshape([-1 if a == axis else 1 for a in range(4)])
        x = np.take(x, low, axis) * (1 - share) + np.take(x, high, axis) * share
    return x


def encoder(network, image):
    x = bilinear(image, network.resize_to)
    for layer in network.convolutions:
        x = leaky_relu(normalize(apply(layer, x, stride=2, pad=1), (1, 2)))
    x = x.reshape(len(x), -1)
    heads = (network.mean, network.log_variance)
    return [x @ array(head.kernel) + array(head.bias) for head in heads]


def make_lively(network, seed=0):
    """Gives every variable a value that matters, and every `u` the exact singular vector."""
    rng = np.random.default_rng(seed)
    for variable in network.variables:
        if variable.path.endswith(("bias", "moving_mean")):
            variable.assign(rng.normal(0, 0.3, variable.shape))
        elif variable.path.endswith("moving_variance"):
            variable.assign(rng.uniform(0.5, 2.0, variable.shape))
    for layer in network._flatten_layers():
        if hasattr(layer, "u"):
            layer.kernel.assign(3.0 * layer.kernel)
            matrix = array(layer.kernel).reshape(layer.u.shape[0], -1)
            layer.u.assign(np.linalg.svd(matrix, full_matrices=False)[0][:, :1])
