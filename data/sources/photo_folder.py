"""Photographs alone, in any folders: no label maps, no classes."""

from functools import cached_property
from pathlib import Path

from data.sources import folder_source
from data.sources import splits as split_rules


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

    configurable = True

    items = "photographs"

    def __init__(
        self, root, *, photos="", splits=None, photo_suffixes=folder_source.PHOTO_SUFFIXES
    ) -> None:
        super().__init__(root, photos, splits or split_rules.HashedSplits(), photo_suffixes)

    @cached_property
    def _paths(self) -> dict[str, str]:
        """{name: path}, sorted; the name has a suffix only where it is needed to tell two apart."""
        self._refuse_missing(self._layout, photos=self.photos)
        files = folder_source.paths_by_stem(self._folder, self.photo_suffixes)
        named = {
            stem if len(paths) == 1 else stem + Path(path).suffix: path
            for stem, paths in files.items()
            for path in paths
        }
        if not named:
            raise ValueError(
                f"There are no photographs below {self._folder.absolute()}. "
                f"Received: suffixes={list(self.photo_suffixes)}. Expected: {self._layout}"
            )
        return dict(sorted(named.items()))

    @property
    def _layout(self) -> str:
        return f"{self._folder.name}/*.jpg"

    def _record(self, name) -> folder_source.Record:
        return folder_source.Record(name, self._paths[name])
