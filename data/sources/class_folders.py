"""Photographs in one folder per class: <split>/<class>/*.jpg, or <class>/*.jpg split by name."""

import logging
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from data.sources import folder_source, photo_folder
from data.sources import splits as split_rules

log = logging.getLogger(__name__)

SPLIT_NAMES = {"train", "training", "validation", "val", "valid", "test"}


class ClassFolders(photo_folder.PhotoFolder):
    """Photographs whose class is the folder they lie in; deeper folders are searched too.

    Where the split rule is FolderSplits the layout is `<root>/<split>/<class>/x.jpg`, where it is
    another `<root>/<class>/x.jpg`.

    Args:
        root: folder of the data set.
        photos: str, folder below root that holds all of this, such as "photos". Default: root.
        splits: FolderSplits, ListSplits or HashedSplits. Default FolderSplits with a tenth of the
            training folder for validation where there is no validation folder.
        class_order: all classes, in the order of their ids. Default: the folders, sorted.
        photo_suffixes: default .jpg .jpeg .png .bmp .webp (case does not matter).

    Raises (at the first look at the files, not in the constructor):
        FileNotFoundError: the folder is missing.
        ValueError: no photographs, no class folders, an empty one, one that the training folder has
            not, a class without training images, folders that `class_order` does not list or the
            reverse.
        KeyError: a split that does not exist.
    """

    configurable = True

    def __init__(
        self, root, *, photos="", splits=None, class_order=None,
        photo_suffixes=folder_source.PHOTO_SUFFIXES,
    ) -> None:  # fmt: skip
        splits = splits or split_rules.FolderSplits(validation_share=0.1)
        super().__init__(root, photos=photos, splits=splits, photo_suffixes=photo_suffixes)
        self.class_order = None if class_order is None else tuple(class_order)

    @cached_property
    def image_class_names(self) -> tuple[str, ...]:
        """Classes of whole images; the position is the id."""
        found = sorted({self._class_folder(stem) for stem in self._paths})
        if SPLIT_NAMES.issuperset(found):
            raise ValueError(
                f"The folders are named like splits, not like classes. Received: {found} below "
                f"{self._folder}. Set data/splits=folders_or_hashed, or choose the folder that "
                f"holds the classes: data.source.photos={Path(self.photos, found[0]).as_posix()}"
            )
        self._refuse_odd_folders()
        listed = self.class_order
        if listed is None:
            return tuple(found)
        unlisted = sorted(set(found) - set(listed))
        missing = [name for name in listed if name not in found]
        twice = [name for index, name in enumerate(listed) if name in listed[:index]]
        if unlisted or missing or twice:
            raise ValueError(
                f"`class_order` lists every class folder once. Received: {len(found)} folders "
                f"below {self._folder}, not listed: {folder_source.first_few(unlisted)}, listed "
                f"without a folder: {folder_source.first_few(missing)}, listed twice: "
                f"{folder_source.first_few(twice)}. Correct data.source.class_order, or null takes "
                "the folders in sorted order"
            )
        return listed

    @cached_property
    def _records(self) -> dict[str, tuple[folder_source.Record, ...]]:
        names = self.image_class_names  # What is wrong with the folders is said first.
        records = super()._records
        trained = {record.label for record in records["train"]}
        untrained = [name for index, name in enumerate(names) if index not in trained]
        if untrained:
            raise ValueError(
                f"Every class needs images in the split 'train'. Received: none of "
                f"{folder_source.first_few(untrained)} below {self._folder}. Add images, remove "
                f"the class, or split otherwise (data/splits=folders, hashed or lists)"
            )
        return records

    @property
    def _layout(self) -> str:
        split = "train/" if self.splits_by.inner_path("a/b") == "b" else ""
        return f"{self._folder.name}/{split}<class>/*.jpg"

    def _record(self, name) -> folder_source.Record:
        label = self._ids[self._class_folder(name)]
        return folder_source.Record(name, self._paths[name], label=label)

    @property
    def _class_rule(self) -> tuple[str, str]:
        return (
            f"Every photograph lies in a folder named after its class: {self._layout}",
            "; or, where the folders are classes and not splits, set data/splits=hashed",
        )

    def _refuse_odd_folders(self) -> None:
        """Class folders without photographs, and those that only some of the splits have."""
        filled, empty = {}, []
        for folder, split, name in self._class_folders():
            if next(folder_source.walk(folder, self.photo_suffixes), None) is None:
                empty.append((split, name))
            else:
                filled.setdefault(split, set()).add(name)
        train = f"{self._train}/"
        known = filled[train] if train in filled else set().union(*filled.values())
        refused = [f"{split}{name}" for split, name in empty if name not in known]
        if refused:
            raise ValueError(
                f"Every class folder holds photographs. Received: empty "
                f"{folder_source.first_few(refused)} below {self._folder} (suffixes "
                f"{list(self.photo_suffixes)}). Fill or remove them"
            )
        odd = [f"{split}{name}" for split in sorted(filled) for name in filled[split] - known]
        if odd:
            raise ValueError(
                f"The splits have the same class folders, or fewer than '{self._train}'. Received: "
                f"{folder_source.first_few(sorted(odd))} below {self._folder}, which "
                f"'{self._train}' has not. Rename, add or remove folders"
            )
        for split in sorted(filled):
            if missing := sorted(known - filled[split]):
                log.warning(
                    "%s/%s has no images of the classes %s, which are not measured there",
                    self._folder, split, folder_source.first_few(missing),
                )  # fmt: skip

    @property
    def _train(self) -> str:
        """The folder of the training split, where splits are folders."""
        return getattr(self.splits_by, "train", "train")

    def _class_folders(self) -> Iterator[tuple[Path, str, str]]:
        """(path, split folder with slash or "", class) of all folders where a class may be."""
        for folder in sorted(self._folder.glob("*/")) + sorted(self._folder.glob("*/*/")):
            stem = folder.relative_to(self._folder).as_posix()
            hidden = any(part.startswith(".") for part in stem.split("/"))
            if folder.is_dir() and not hidden:
                name, slash, rest = self.splits_by.inner_path(f"{stem}/x").partition("/")
                if slash and rest == "x":
                    yield folder, stem.removesuffix(name), name
