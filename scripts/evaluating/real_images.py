"""The real images of an evaluation: what they are, by their content, and their features, kept."""

import hashlib
import io
import json
import logging
import zipfile
import zlib

import numpy as np

log = logging.getLogger(__name__)

SEEN = ("image", "label")  # what features are kept of
CACHE_VERSION = 1  # another one where the same network would give other features
CONTENT = (*SEEN, "label_map", "hole")


def batches(data, split, batch_size, title):
    """Yields the items of a split without padding, as dicts of arrays; images as uint8.

    Args:
        data: pipeline.
        split: str.
        batch_size: int.
        title: str, of the progress bar.
    """
    from tqdm import tqdm

    from training.watch import contact_sheet

    for batch in tqdm(data.evaluation_dataset(split, batch_size), title, disable=None):
        valid = batch.pop("valid").numpy()
        given = {key: value.numpy()[valid] for key, value in data.preprocess(batch).items()}
        yield given | {"image": contact_sheet.to_uint8(given["image"])}


def facts(data, split, batch_size) -> dict:
    """What the items of a split are, whatever their files are called.

    Returns:
        {"split", "n_real", "content_sha256": hash of pixels, classes, label maps and holes as the
        metrics meet them, "image_size": [height, width], "resize": how files become images of
        that size, "seen_sha256": the same of images and
        classes alone}.
    """
    digests, count = {}, 0
    for given in batches(data, split, batch_size, "Reading"):
        count += len(given["image"])
        for key in set(CONTENT) & set(given):
            digest = digests.setdefault(key, hashlib.sha256())
            digest.update(np.ascontiguousarray(given[key]).tobytes())
    return {
        "split": split,
        "n_real": count,
        "image_size": list(data.image_size),
        "resize": data.resize.settings() | {"load_size": list(data.load_size)},
        "content_sha256": _joined(digests, CONTENT),
        "seen_sha256": _joined(digests, SEEN),
    }


def features(data, known: dict, network, batch_size) -> dict:
    """Features (and classes) of all items of a split, from the cache if these very pixels are.

    The cache lies beside that of the decoded images. The name of its file is a hash of the images,
    the network, its weights and its resizing: other data never meet an old file.

    Args:
        data: pipeline.
        known: `facts` of the split.
        network: feature network, with `name`, `weights_hash` and `resize`.
        batch_size: int.

    Returns:
        {"features": float32 [N, D], "logits", "label" if there are any}.
    """
    from metrics.distances import feature_distances
    from metrics.features import feature_store

    path = _cache_path(data, known, network)
    kept = _load(path, known["n_real"])
    if kept is not None:
        log.info("Features of the %d real images: kept in %s", known["n_real"], path)
        return kept
    store = feature_store.FeatureStore()
    for given in batches(data, known["split"], batch_size, "Real features"):
        store.update_state(feature_distances.seen(network, given["image"], given))
    arrays = store.result()
    _store(path, arrays)
    return arrays


def _joined(digests, keys):
    parts = [f"{key} {digests[key].hexdigest()}" for key in keys if key in digests]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _cache_path(data, known, network):
    """None where the data keep no cache."""
    if data.cache.kind == "none":
        return None
    facts = [
        CACHE_VERSION,
        known["seen_sha256"],
        known["image_size"],  # the same bytes in another shape are other images
        network.name,
        network.weights_hash,
        network.resize,
    ]
    key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:40]
    return data.cache.resolved_folder(data.root) / f"features-{key}.npz"


def _load(path, count):
    """The features of so many images; None where there are none, or a damaged file."""
    if path is None:
        return None
    try:
        # The bytes first: NumPy leaves damaged files open.
        with np.load(io.BytesIO(path.read_bytes())) as file:
            kept = dict(file)
    except (OSError, TypeError, ValueError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    return kept if len(kept.get("features", ())) == count else None


def _store(path, arrays):
    from data import files

    if path is None:
        return
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    try:
        files.write_atomically(path, buffer.getvalue())
    except OSError as error:
        log.info("The features of the real images are not kept: %s", error)
