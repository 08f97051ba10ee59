"""Where the items are: a source turns a split name into records (files and classes).

Every source has `root`, `splits` (names of its splits), `records(split)` (sequence of Record, fixed
order), `count(split)`, `label_names` (classes of whole images; empty where there are none) and
`contents(split)` (None where records are files; else an op that gives the bytes of an item).
"""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from data import splits as split_rules
from data.label_files import LABEL_SUFFIXES

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
MAX_NAMED = 5


@dataclass(frozen=True)
class Record:
    """One item: its name, its photograph, and where the source has them its map and its class."""

    name: str
    photo: str
    label_map: str | None = None
    label: int | None = None

    def read(self):
        """(bytes of the photograph, bytes of the label map or None); OSError if one is gone."""
        paths = (self.photo, self.label_map)
        return tuple(None if path is None else Path(path).read_bytes() for path in paths)

    def stamp(self):
        """JSON-clean values that change with the files; OSError if one is gone."""
        return [file_stamp(path) for path in (self.photo, self.label_map) if path is not None]


class FolderSource:
    """What sources of files share. `_records` is {split: tuple of Record}."""

    @property
    def splits(self):
        return tuple(self._records)

    def records(self, split):
        if split not in self._records:
            raise KeyError(
                f"The data set has no split '{split}'. Received: {self.splits} below {self.root}. "
                f"Add the folder or list of this split, or take a share of the {self.items}: "
                f"data/splits=hashed"
            )
        return self._records[split]

    def count(self, split):
        return len(self.records(split))

    def contents(self, split):
        return None


class PairedFolders(FolderSource):
    """Photographs and label maps below two folders, paired by their relative path without suffix.

    `<root>/photos/<stem>.jpg` belongs to `<root>/labels/<stem>.bmp`; sub-folders are searched.

    Args:
        root: folder of the data set.
        photos: str, folder of the photographs below root. Default "photos".
        labels: str, folder of the label maps below root. Default "labels". May be the same folder
            when the suffixes tell photographs and maps apart.
        splits: FolderSplits, ListSplits or HashedSplits. Default FolderSplits().
        class_folders: bool. True: the first folder below the split is the class of the image.
        photo_suffixes: default .jpg .jpeg .png .bmp .webp (case does not matter).
        label_suffixes: default .bmp .png.

    Raises (at the first look at the files, not in the constructor):
        FileNotFoundError: root or one of the two folders is missing.
        ValueError: no pairs, unpaired files, one stem twice, an empty split, no class folder.
        KeyError: a split that does not exist.
    """

    items = "pairs"

    def __init__(
        self,
        root,
        *,
        photos="photos",
        labels="labels",
        splits=None,
        class_folders=False,
        photo_suffixes=PHOTO_SUFFIXES,
        label_suffixes=LABEL_SUFFIXES,
    ):
        self.root = root
        self.photos = photos
        self.labels = labels
        self.splits_by = splits or split_rules.FolderSplits()
        self.class_folders = class_folders
        self.photo_suffixes = tuple(photo_suffixes)
        self.label_suffixes = tuple(label_suffixes)
        shared = sorted(set(self.photo_suffixes) & set(self.label_suffixes))
        if photos == labels and shared:
            raise ValueError(
                f"Photographs and label maps in one folder need different suffixes. Received: "
                f"photos=labels='{photos}', both with {shared}. Set for example "
                f"data.source.photo_suffixes=[.jpg] data.source.label_suffixes=[.png]"
            )

    @property
    def label_names(self):
        """Classes of whole images, sorted; the position is the id."""
        return self._label_names

    @cached_property
    def _label_names(self):
        if not self.class_folders:
            return ()
        return tuple(sorted({self._class_folder(stem) for stem in self._paired_paths}))

    @cached_property
    def _records(self):
        pairs = self._paired_paths
        assigned = self.splits_by.assign(list(pairs), self.root)
        ids = {name: index for index, name in enumerate(self._label_names)}
        records = {}
        for split, stems in assigned.items():
            records[split] = tuple(
                Record(
                    name=stem,
                    photo=pairs[stem][0],
                    label_map=pairs[stem][1],
                    label=ids[self._class_folder(stem)] if self.class_folders else None,
                )
                for stem in stems
            )
        refuse_without_train(records, self.root)
        return records

    @cached_property
    def _paired_paths(self):
        root = Path(self.root)
        for what, folder in (("root", root), ("photos", root / self.photos),
                             ("labels", root / self.labels)):  # fmt: skip
            if not folder.is_dir():
                setting = "data.root" if what == "root" else f"data.source.{what}"
                raise FileNotFoundError(
                    f"The folder of the {'data set' if what == 'root' else what} does not exist. "
                    f"Received: {setting} -> {folder.absolute()}. Expected: photographs in "
                    f"<root>/{self.photos}/ and label maps of the same names in "
                    f"<root>/{self.labels}/"
                )
        photos = files_by_stem(root / self.photos, self.photo_suffixes, "photographs")
        labels = files_by_stem(root / self.labels, self.label_suffixes, "label maps")
        self._refuse_orphans(photos, labels)
        return {stem: (photos[stem], labels[stem]) for stem in sorted(photos)}

    def _refuse_orphans(self, photos, labels):
        without_map = sorted(set(photos) - set(labels))
        without_photo = sorted(set(labels) - set(photos))
        if not set(photos) & set(labels):
            raise ValueError(
                f"No photograph has a label map of the same name below {self.root}. Received: "
                f"{len(photos)} photographs {without_map[:MAX_NAMED]} ({self.photo_suffixes}), "
                f"{len(labels)} label maps {without_photo[:MAX_NAMED]} ({self.label_suffixes}). "
                f"A pair shares its path without the suffix: {self.photos}/a/1.jpg and "
                f"{self.labels}/a/1.bmp"
            )
        if without_map or without_photo:
            raise ValueError(
                f"Every photograph needs a label map of the same name, and the reverse. Received: "
                f"{len(without_map)} photographs without a map {first_few(without_map)}, "
                f"{len(without_photo)} maps without a photograph {first_few(without_photo)} below "
                f"{self.root}. Add the missing files or remove the lonely ones."
            )

    def _class_folder(self, stem):
        folder, slash, _ = self.splits_by.inner_path(stem).partition("/")
        if not slash:
            raise ValueError(
                f"With class_folders=true every file lies in a folder named after its class. "
                f"Received: '{stem}' below {self.root}. Move it, or set "
                f"data.source.class_folders=false"
            )
        return folder


def files_by_stem(folder, suffixes, what):
    """Returns {path below folder without suffix: path} of all files with one of the suffixes.

    Raises:
        ValueError: two files differ only in their suffix.
    """
    found = paths_by_stem(folder, suffixes)
    for first, *others in found.values():
        if others:
            suffix = os.path.splitext(others[0])[1].lower()
            raise ValueError(
                f"Two {what} have the same name and differ only in their suffix. Received: "
                f"{first} and {others[0]}. Remove one, or read one kind only: "
                f"data.source.{'photo' if what == 'photographs' else 'label'}_suffixes=[{suffix}]"
            )
    return {stem: paths[0] for stem, paths in found.items()}


def paths_by_stem(folder, suffixes):
    """Returns {path below folder without suffix: paths} of all files with one of the suffixes."""
    found = {}
    for stem, path in walk(folder, suffixes):
        found.setdefault(stem, []).append(path)
    return found


def walk(folder, suffixes):
    """Yields (path below folder without suffix, path) of all files with one of the suffixes."""
    for directory, subfolders, names in os.walk(folder, followlinks=True):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in sorted(names):
            base, suffix = os.path.splitext(name)
            if not name.startswith(".") and suffix.lower() in suffixes:
                stem = Path(os.path.relpath(os.path.join(directory, base), folder)).as_posix()
                yield stem, os.path.join(directory, name)


def file_stamp(path):
    """[file name, size in bytes, modification time in ns]."""
    status = os.stat(path)
    return [os.path.basename(path), status.st_size, status.st_mtime_ns]


def refuse_without_train(records, root):
    if not records.get("train"):
        raise ValueError(
            f"There is nothing to train on: split 'train' is empty. "
            f"Received: splits={sorted(records)} below {root}"
        )


def first_few(names):
    """Some of the names, for a message."""
    return f"{names[:MAX_NAMED]}" + (" ..." if len(names) > MAX_NAMED else "")
