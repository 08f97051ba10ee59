"""Photographs in one folder per class: <split>/<class>/*.jpg, or <class>/*.jpg split by name."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from data.sources import folder_source, splits

SPLIT_NAMES = {"train", "training", "validation", "val", "valid", "test"}


class ClassFolders(folder_source.FolderSource):
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
        ValueError: no photographs, no class folders, an empty one, one that only some of the split
            folders have, a class without training images, folders that `class_order` does not list
            or the reverse.
        KeyError: a split that does not exist.
    """

    items = "photographs"

    def __init__(
        self,
        root,
        *,
        photos="",
        splits=None,
        class_order=None,
        photo_suffixes=folder_source.PHOTO_SUFFIXES,
    ) -> None:
        self.root = root
        self.photos = photos
        self.splits_by = splits or default_splits()
        self.class_order = None if class_order is None else tuple(class_order)
        self.photo_suffixes = tuple(photo_suffixes)

    @property
    def image_class_names(self) -> tuple[str, ...]:
        """Classes of whole images; the position is the id."""
        return self._image_class_names

    @property
    def _folder(self) -> Path:
        return Path(self.root) / self.photos

    @cached_property
    def _image_class_names(self) -> tuple[str, ...]:
        found = sorted({self._class_of(stem) for stem in self._paths})
        self._refuse_splits_as_classes(found)
        self._refuse_odd_folders()
        if self.class_order is None:
            return tuple(found)
        unlisted = sorted(set(found) - set(self.class_order))
        missing = [name for name in self.class_order if name not in found]
        listed = self.class_order
        twice = [name for index, name in enumerate(listed) if name in listed[:index]]
        if unlisted or missing or twice:
            raise ValueError(
                f"`class_order` lists every class folder once. Received: {len(found)} folders "
                f"below {self._folder}, not listed: {folder_source.first_few(unlisted)}, listed "
                f"without a folder: {folder_source.first_few(missing)}, listed twice: "
                f"{folder_source.first_few(twice)}. Correct data.source.class_order, or null takes "
                "the folders in sorted order"
            )
        return self.class_order

    @cached_property
    def _records(self) -> dict[str, tuple[folder_source.Record, ...]]:
        ids = {name: index for index, name in enumerate(self._image_class_names)}
        assigned = self.splits_by.assign(list(self._paths), self._folder)
        records = {
            split: tuple(
                folder_source.Record(stem, self._paths[stem], label=ids[self._class_of(stem)])
                for stem in stems
            )
            for split, stems in assigned.items()
        }
        folder_source.refuse_without_train(records, self._folder)
        trained = {record.label for record in records["train"]}
        untrained = [name for name, index in ids.items() if index not in trained]
        if untrained:
            raise ValueError(
                f"Every class needs images in the split 'train'. Received: none of "
                f"{folder_source.first_few(untrained)} below {self._folder}. Add images, remove "
                f"the class, or split otherwise (data/splits=folders, hashed or lists)"
            )
        return records

    @cached_property
    def _paths(self) -> dict[str, str]:
        """{name: path}, sorted; the name has a suffix only where it is needed to tell two apart."""
        if not self._folder.is_dir():
            setting = "data.source.photos" if Path(self.root).is_dir() else "data.root"
            raise FileNotFoundError(
                f"The folder of the photographs does not exist. Received: {setting} -> "
                f"{self._folder.absolute()}. Expected: {self._layout}"
            )
        files = folder_source.paths_by_stem(self._folder, self.photo_suffixes)
        if not files:
            raise ValueError(
                f"There are no photographs below {self._folder.absolute()}. "
                f"Received: suffixes={list(self.photo_suffixes)}. Expected: {self._layout}"
            )
        named = {}
        for stem, paths in files.items():
            for path in paths:
                named[stem if len(paths) == 1 else stem + Path(path).suffix] = path
        return dict(sorted(named.items()))

    @property
    def _layout(self) -> str:
        split = "train/" if self.splits_by.inner_path("a/b") == "b" else ""
        return f"{self._folder.name}/{split}<class>/*.jpg"

    def _class_of(self, stem) -> str:
        name, slash, _ = self.splits_by.inner_path(stem).partition("/")
        if not slash:
            raise ValueError(
                f"Every photograph lies in a folder named after its class: {self._layout}. "
                f"Received: '{stem}' below {self._folder}. Move it; or, where the folders are "
                f"classes and not splits, set data/splits=hashed"
            )
        return name

    def _refuse_splits_as_classes(self, found) -> None:
        if SPLIT_NAMES.issuperset(found):
            raise ValueError(
                f"The folders are named like splits, not like classes. Received: {found} below "
                f"{self._folder}. Set data/splits=folders_or_hashed, or choose the folder that "
                f"holds the classes: data.source.photos={Path(self.photos, found[0]).as_posix()}"
            )

    def _refuse_odd_folders(self) -> None:
        """Class folders without photographs, and those that only some of the splits have."""
        filled, empty = {}, []
        for folder, split, name in self._class_folders():
            has_photo = next(folder_source.walk(folder, self.photo_suffixes), None)
            filled.setdefault(split, set()).add(name)
            if has_photo is None:
                empty.append(f"{split}{name}")
        if empty:
            raise ValueError(
                f"Every class folder holds photographs. Received: empty "
                f"{folder_source.first_few(empty)} below {self._folder} (suffixes "
                f"{list(self.photo_suffixes)}). Fill or remove them"
            )
        everywhere = set.intersection(*filled.values())
        odd = [f"{split}{name}" for split in sorted(filled) for name in filled[split] - everywhere]
        if odd:
            raise ValueError(
                f"The splits have the same class folders. Received: "
                f"{folder_source.first_few(sorted(odd))} below {self._folder}, which not all of "
                f"{sorted(filled)} have. Rename, add or remove folders"
            )

    def _class_folders(self) -> Iterator[tuple[Path, str, str]]:
        """(path, split folder with slash or "", class) of all folders where a class may be."""
        for folder in sorted(self._folder.glob("*/")) + sorted(self._folder.glob("*/*/")):
            stem = folder.relative_to(self._folder).as_posix()
            hidden = any(part.startswith(".") for part in stem.split("/"))
            if folder.is_dir() and not hidden:
                name, slash, rest = self.splits_by.inner_path(f"{stem}/x").partition("/")
                if slash and rest == "x":
                    yield folder, stem.removesuffix(name), name


def default_splits() -> splits.FolderSplits:
    return splits.FolderSplits(validation_share=0.1)
