"""What a checkpoint holds, read past the code under test."""

import numpy as np
from safetensors.numpy import load_file


def of(checkpoint):
    """{"owner/index": array} of a checkpoint folder, of either format."""
    if (checkpoint / "variables.npz").is_file():
        with np.load(checkpoint / "variables.npz") as file:
            return {name: file[name] for name in file.files}
    arrays = load_file(checkpoint / "variables.safetensors")
    return {"/".join(name.split("/")[:2]): value for name, value in arrays.items()}


def bytes_of(checkpoint):
    """{"owner/index": bytes}: two checkpoints are equal to the bit if these are."""
    return {name: value.tobytes() for name, value in of(checkpoint).items()}
