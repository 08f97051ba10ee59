"""The embedded data set: street facades with label maps, written once as ordinary image files."""

import json
import logging
import os
import shutil
import time
from concurrent import futures
from concurrent.futures import process
from functools import cached_property
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image

from data import files
from data.sources import paired_folders
from data.synthetic import facade_layout, facade_styles

CLASS_NAMES = (
    "background", "facade", "window", "door", "cornice", "sill",
    "balcony", "blind", "deco", "molding", "pillar", "shop",
)  # fmt: skip
CLASS_COLORS = (  # RGB, those of the CMP Facade Database
    (0, 0, 170), (0, 0, 255), (0, 85, 255), (0, 170, 255), (0, 255, 255), (85, 255, 170),
    (170, 255, 85), (255, 255, 0), (255, 170, 0), (255, 85, 0), (255, 0, 0), (170, 0, 0),
)  # fmt: skip
STYLES = tuple(style.name for style in facade_styles.STYLES)
SPLITS = ("train", "validation")
DEFAULT_ROOT = files.DATASETS / "synthetic_facades"
VERSION = 1  # raise it whenever the same arguments would give other pixels
MARKER = "synthetic_facades.json"
JPEG_QUALITY = 92
PAIRS_PER_JOB = 40  # one job of a worker process; smaller sets are written without workers
STALE_SECONDS = 3600
log = logging.getLogger(__name__)


class SyntheticFacades(paired_folders.PairedFolders):
    """The embedded data set as a source: the files are written at first look, if need be.

    From then on it is `PairedFolders` of its root with splits by folder; the style is the class
    of the image. Writing 1,000 pairs of 128 px takes about 6 s on two cores.

    Args: as `ensure_written`, and
        root: folder. Default `DEFAULT_ROOT`.
        class_folders: bool. False: images have no class. Default True.

    Raises: as `ensure_written`, at the first look at the files.
    """

    configurable = True

    def __init__(
        self, root=None, *, image_size=128, train_count=800, validation_count=40, seed=0,
        processes=None, class_folders=True,
    ) -> None:  # fmt: skip
        super().__init__(root or DEFAULT_ROOT, class_folders=class_folders)
        self._arguments = {
            "image_size": image_size, "train_count": train_count, "seed": seed,
            "validation_count": validation_count, "processes": processes,
        }  # fmt: skip

    @cached_property
    def _paths(self) -> dict[str, tuple[str, str]]:
        ensure_written(self.root, **self._arguments)
        return super()._paths


def make_pair(
    index: int, *, split: str = "train", image_size: int = 128, seed: int = 0
) -> tuple[Image.Image, np.ndarray]:
    """One facade as (RGB Pillow image, uint8 [image_size, image_size] NumPy label map).

    A function of its arguments alone. The style is STYLES[index % 5].
    """
    rng = np.random.default_rng([seed, SPLITS.index(split), index])
    style = facade_styles.STYLES[index % len(STYLES)]
    return facade_layout.draw_facade(rng, style, image_size)


def pair_paths(root: Path, split: str, index: int) -> tuple[Path, Path]:
    """Where the photograph and the label map of one pair are stored."""
    stem = Path(split, STYLES[index % len(STYLES)], f"{index:05d}")
    return root / "photos" / f"{stem}.jpg", root / "labels" / f"{stem}.bmp"


def write_pairs(root: str, split: str, indices: range, image_size: int, seed: int) -> int:
    """Writes some pairs below `root`; returns how many bytes. Runs in the worker processes."""
    size = 0
    for index in indices:
        photograph, labels = make_pair(index, split=split, image_size=image_size, seed=seed)
        photograph_path, label_path = pair_paths(Path(root), split, index)
        photograph.save(photograph_path, quality=JPEG_QUALITY)
        label_image = Image.fromarray(labels)
        label_image.putpalette(np.array(CLASS_COLORS, np.uint8).tobytes())
        label_image.save(label_path)
        size += photograph_path.stat().st_size + label_path.stat().st_size
    return size


def ensure_written(
    root, *, image_size: int = 128, train_count: int = 800, validation_count: int = 40,
    seed: int = 0, processes: int | None = None,
) -> Path:  # fmt: skip
    """Writes the data set below `root` unless it is there already, and returns `root`.

    Layout: `photos/<split>/<style>/<id>.jpg` and `labels/<split>/<style>/<id>.bmp` (8 bits, the
    pixel value is the class) with the splits train and validation. The files appear all at once:
    they are made in a folder beside `root` which is then renamed, so runs may start together and
    may be killed. A folder whose files are missing or cut short is made again.

    Args:
        root: folder, made with its parents; must be missing, empty, or of an earlier run.
        image_size: edge of the square pictures in pixels, at least 32. Default 128.
        train_count: pairs of the training split. Default 800.
        validation_count: pairs of the validation split. Default 40.
        seed: another seed gives other buildings. Default 0.
        processes: worker processes; default one per usable core. The files do not depend on it.

    Raises:
        ValueError: an argument is out of range; or `root` holds other files, or facades of other
            settings, which are left alone.
    """
    counts = {"train": train_count, "validation": validation_count}
    settings = {"version": VERSION, "image_size": image_size, "seed": seed, **counts}
    check_settings(settings)
    root = Path(root).absolute()
    if is_complete(root, settings):
        return root
    root.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(root)
    log.info("Writing %d synthetic facades to %s", sum(counts.values()), root)
    with files.folder_beside(root) as work:
        written = write_all(work, counts, image_size, seed, processes)
        marker = {**settings, "classes": CLASS_NAMES, "styles": STYLES, "bytes": written}
        (work / MARKER).write_text(json.dumps(marker, indent=1) + "\n")
        publish(work, root, settings)
    return root


def check_settings(settings: dict) -> None:
    for name, lowest in {"image_size": 32, "train": 1, "validation": 1, "seed": 0}.items():
        value = settings[name]
        if not isinstance(value, int) or isinstance(value, bool) or value < lowest:
            name = f"{name}_count" if name in SPLITS else name
            raise ValueError(
                f"Expected a whole number of at least {lowest}. Received: {name}={value!r}"
            )


def is_complete(root: Path, settings: dict) -> bool:
    """Whether `root` holds exactly this data set; raises if it holds anything else."""
    if not root.exists():
        return False
    if root.is_dir() and all(entry.name == ".cache" for entry in root.iterdir()):
        return False  # empty but for what the pipeline keeps of an earlier data set
    try:
        found = json.loads((root / MARKER).read_text())
        differing = [k for k, v in settings.items() if found.get(k) != v]
    except (OSError, ValueError, AttributeError):
        raise ValueError(
            "Expected a missing or empty folder, or one with synthetic facades (recognised by its "
            f"file {MARKER}). Received: root={str(root)!r}, which holds other files. "
            "They were left alone; choose another root."
        ) from None
    if differing:
        changes = ", ".join(f"{k} is {found.get(k)!r}, not {settings[k]!r}" for k in differing)
        raise ValueError(
            f"Synthetic facades of other settings are stored there ({changes}). "
            f"Received: root={str(root)!r}. Choose another root, or delete that folder to have "
            "it written anew."
        )
    items = ((split, index) for split in SPLITS for index in range(settings[split]))
    try:
        stored = sum(path.stat().st_size for i in items for path in pair_paths(root, *i))
    except OSError:
        return False
    return stored == found.get("bytes")


def write_all(work: Path, counts, image_size: int, seed: int, processes: int | None) -> int:
    jobs = []
    for split, count in counts.items():
        for index in range(min(count, len(STYLES))):
            for path in pair_paths(work, split, index):
                path.parent.mkdir(parents=True, exist_ok=True)
        for start in range(0, count, PAIRS_PER_JOB):
            indices = range(start, min(start + PAIRS_PER_JOB, count))
            jobs.append((str(work), split, indices, image_size, seed))
    if processes is None:
        cores = getattr(os, "sched_getaffinity", None)
        processes = len(cores(0)) if cores else os.cpu_count() or 1
    processes = min(processes, len(jobs))
    if processes > 1 and sum(counts.values()) > PAIRS_PER_JOB:
        try:
            # "spawn": a forked copy of a process in which TensorFlow has threads may hang.
            with futures.ProcessPoolExecutor(processes, get_context("spawn")) as pool:
                return sum(pool.map(write_pairs, *zip(*jobs, strict=True)))
        except process.BrokenProcessPool:
            pass  # a start script that cannot be imported, or no memory: go on without workers
    return sum(write_pairs(*job) for job in jobs)


def publish(work: Path, root: Path, settings: dict) -> None:
    """Renames the finished folder to `root`, in the place of a broken one if need be."""
    for _ in range(10):
        try:
            os.rename(work, root)  # succeeds also over an empty folder
            return
        except OSError:
            if not root.exists():
                raise
        if is_complete(root, settings):  # another run was faster
            return
        broken = work.with_name(work.name + ".broken")
        try:
            os.rename(root, broken)
        except FileNotFoundError:
            continue
        shutil.rmtree(broken, ignore_errors=True)
    raise ValueError(
        "Another process keeps writing to the same folder. "
        f"Received: root={str(root)!r}. Stop it, or choose another root."
    )


def remove_leftovers(root: Path) -> None:
    """Deletes what runs that were killed an hour ago or earlier have left beside `root`."""
    for folder in root.parent.glob(f".{root.name}.*.partial*"):
        try:
            if time.time() - folder.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue  # another run is tidying up as well
