"""Weight files of feature networks in the layout they are published in, with random weights."""

import h5py
import numpy as np


def write_legacy_file(path, layers, root=None):
    """The HDF5 layout of Keras 1 and 2: one group a layer, its weights named in an attribute."""
    with h5py.File(path, "w") as file:
        top = file.create_group(root) if root else file
        top.attrs["layer_names"] = [name.encode() for name in layers]
        for name, values in layers.items():
            group = top.create_group(name)
            names = [f"{name}_{i}" for i in range(len(values))]
            group.attrs["weight_names"] = [n.encode() for n in names]
            for key, value in zip(names, values, strict=True):
                group[key] = value
    return path


def squeezenet_layers():
    rng = np.random.default_rng(5)

    def weights(size, c_in, c_out):
        scale = np.sqrt(2 / (size * size * c_in))
        kernel = rng.normal(0, scale, (size, size, c_in, c_out))
        return [kernel.astype(np.float32), rng.normal(0, 0.1, c_out).astype(np.float32)]

    layers, channels = {"conv1": weights(3, 3, 64)}, 64
    for fire, s in zip(range(2, 10), (16, 16, 32, 32, 48, 48, 64, 64), strict=True):
        layers[f"fire{fire}/squeeze1x1"] = weights(1, channels, s)
        layers[f"fire{fire}/expand1x1"] = weights(1, s, 4 * s)
        layers[f"fire{fire}/expand3x3"] = weights(3, s, 4 * s)
        channels = 8 * s
    return layers


def _replaced(make):
    """Removes the second weight of a layer and lets `make` put something else there."""

    def damage(path, layer):
        other = path.with_name("other.h5")
        with h5py.File(other, "w") as file:
            file["x"] = np.zeros(64, np.float32)
        with h5py.File(path, "r+") as file:
            name = file[layer].attrs["weight_names"][1]
            del file[layer][name]
            make(file[layer], name, other)

    return damage


def _virtual(group, name, other):
    layout = h5py.VirtualLayout((64,), np.float32)
    layout[:] = h5py.VirtualSource(str(other), "x", (64,))
    group.create_virtual_dataset(name, layout)


HOSTILE = {
    "external link": _replaced(lambda g, n, other: g.update({n: h5py.ExternalLink(other, "x")})),
    "soft link": _replaced(lambda g, n, _: g.update({n: h5py.SoftLink("/conv1/conv1_1")})),
    "external storage": _replaced(
        lambda g, n, other: g.create_dataset(n, (64,), "f4", external=[(str(other), 0, 256)])
    ),
    "virtual": _replaced(_virtual),
    "huge": _replaced(lambda g, n, _: g.create_dataset(n, (10**9, 10**6), "f4", chunks=(1, 64))),
    "texts": _replaced(lambda g, n, _: g.create_dataset(n, (64,), h5py.string_dtype())),
}
"""What weights of an HDF5 file can be besides numbers in it: f(path, name of a layer)."""
