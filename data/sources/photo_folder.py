"""Photographs alone, in any folders: no label maps, no classes."""

from functools import cached_property
from pathlib import Path

from data.sources import folder_source, splits


class PhotoFolder(folder_source.FolderSource):
    """All photographs below a folder, however they are arranged.

    Args:
        root: folder of the data set.
        photos: str, folder below root that holds them, such as "photos". Default: root.
        splits: FolderSplits, ListSplits or HashedSplits. Default: HashedSplits(), a tenth of the
            names for validation.
        photo_suffixes: default .jpg .jpeg .png .bmp .webp (case does not matter).

    Raises (at the first look at the files, not in the constructor):
        FileNotFoundError: the folder is missing.
        ValueError: no photographs, or an empty split.
        KeyError: a split that does not exist.
    """

    items = "photographs"
    image_class_names = ()

    def __init__(
        self, root, *, photos="", splits=None, photo_suffixes=folder_source.PHOTO_SUFFIXES
    ) -> None:
        self.root = root
        self.photos = photos
        self.splits_by = splits or default_splits()
        self.photo_suffixes = tuple(photo_suffixes)

    @cached_property
    def _records(self) -> dict[str, tuple[folder_source.Record, ...]]:
        folder = Path(self.root) / self.photos
        if not folder.is_dir():
            setting = "data.source.photos" if Path(self.root).is_dir() else "data.root"
            raise FileNotFoundError(
                f"The folder of the photographs does not exist. Received: {setting} -> "
                f"{folder.absolute()}"
            )
        paths = named_paths(folder, self.photo_suffixes)
        if not paths:
            raise ValueError(
                f"There are no photographs below {folder.absolute()}. Received: "
                f"suffixes={list(self.photo_suffixes)}"
            )
        records = {
            split: tuple(folder_source.Record(name, paths[name]) for name in names)
            for split, names in self.splits_by.assign(list(paths), folder).items()
        }
        folder_source.refuse_without_train(records, folder)
        return records


def named_paths(folder, suffixes) -> dict[str, str]:
    """{name: path}, sorted; the name has a suffix only where it is needed to tell two apart."""
    files = {}
    for stem, path in folder_source.walk(folder, suffixes):
        files.setdefault(stem, []).append(path)
    named = {}
    for stem, paths in files.items():
        for path in paths:
            named[stem if len(paths) == 1 else stem + Path(path).suffix] = path
    return dict(sorted(named.items()))


def default_splits() -> splits.HashedSplits:
    return splits.HashedSplits()
