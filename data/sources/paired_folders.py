"""Photographs and label maps of the same names below two folders."""

from functools import cached_property
from pathlib import Path

from data.labels import label_files
from data.sources import folder_source, pair_names
from data.sources import splits as split_rules


class PairedFolders(folder_source.FolderSource):
    """Photographs and label maps below two folders, paired by their relative path without suffix.

    `<root>/photos/<stem>.jpg` belongs to `<root>/labels/<stem>.bmp`; sub-folders are searched.

    Args:
        root: folder of the data set.
        photos: str, folder of the photographs below root. Default "photos". May have stars, as in
            "*/images": what they stand for, such as the split, begins the names of items.
        labels: str, folder of the label maps below root. Default "labels". May be the same folder
            when suffixes or endings tell photographs and maps apart.
        splits: FolderSplits, ListSplits or HashedSplits. Default FolderSplits().
        class_folders: bool. True: the first folder below the split is the class of the image.
        photo_suffixes: default `folder_source.PHOTO_SUFFIXES` (case does not matter).
        label_suffixes: default `label_files.LABEL_SUFFIXES`.
        photo_ending: str, what the names of photographs end in before the suffix and names of maps
            do not, such as "_leftImg8bit". Files without it are no photographs. Default "".
        label_ending: the same of maps, such as "_gtFine_labelIds", "_L" or "_mask".

    Where the split rule lists items, those on no list need no partner.

    Raises (at the first look at the files, not in the constructor):
        FileNotFoundError: root or one of the two folders is missing.
        ValueError: no pairs, unpaired files, one stem twice, an empty split, no class folder.
        KeyError: a split that does not exist.
    """

    configurable = True

    items = "pairs"

    def __init__(
        self, root, *, photos="photos", labels="labels", splits=None, class_folders=False,
        photo_suffixes=folder_source.PHOTO_SUFFIXES, label_suffixes=label_files.LABEL_SUFFIXES,
        photo_ending="", label_ending="",
    ) -> None:  # fmt: skip
        super().__init__(root, photos, splits or split_rules.FolderSplits(), photo_suffixes)
        self.labels = labels
        self.class_folders = class_folders
        self.label_suffixes = tuple(label_suffixes)
        self.photo_ending, self.label_ending = photo_ending, label_ending

    @property
    def _folder(self) -> Path:
        return Path(self.root)

    @cached_property
    def image_class_names(self) -> tuple[str, ...]:
        """Classes of whole images, sorted; the position is the id."""
        if not self.class_folders:
            return ()
        return tuple(sorted({self._class_folder(stem) for stem in self._paths}))

    def _record(self, name) -> folder_source.Record:
        label = self._ids[self._class_folder(name)] if self.class_folders else None
        return folder_source.Record(name, *self._paths[name], label=label)

    @cached_property
    def _paths(self) -> dict[str, tuple[str, str]]:
        root = Path(self.root)
        expected = (
            f"photographs in <root>/{self.photos}/ and label maps of the same names in "
            f"<root>/{self.labels}/"
        )
        self._refuse_missing(expected, photos=self.photos, labels=self.labels)
        photos, labels = self._files()
        listed = self.splits_by.listed(
            [*photos, *labels], root, lambda: self._aliases(labels | photos)
        )
        if listed is not None:
            photos = {stem: path for stem, path in photos.items() if stem in listed}
            labels = {stem: path for stem, path in labels.items() if stem in listed}
        self._refuse_orphans(photos, labels)
        return {stem: (photos[stem], labels[stem]) for stem in sorted(photos)}

    def _files(self) -> tuple[dict[str, str], dict[str, str]]:
        """({stem: photograph}, {stem: label map})."""
        root, folders = Path(self.root), [self.photos, self.labels]
        one_folder, endings = folders[0] == folders[1], (self.photo_ending, self.label_ending)
        shared = sorted(set(self.photo_suffixes) & set(self.label_suffixes))
        if one_folder and shared and endings[0] == endings[1]:
            raise ValueError(
                f"Photographs and label maps in one folder need different suffixes, or endings. "
                f"Received: photos=labels='{self.photos}', both with {shared}."
                + pair_names.advice(
                    folder_source.paths_by_stem(root / folders[0], self.photo_suffixes),
                    folder_source.paths_by_stem(root / folders[1], self.label_suffixes),
                )
            )
        others = reversed(endings) if one_folder else ("", "")
        known = (*self.photo_suffixes, *self.label_suffixes) if one_folder else ()
        photos, labels = (
            folder_source.files_by_stem(root, *settings)
            for settings in zip(
                folders, (self.photo_suffixes, self.label_suffixes), ("photographs", "label maps"),
                endings, others, (known, known), strict=True,
            )
        )  # fmt: skip
        return photos, labels

    def _refuse_orphans(self, photos, labels) -> None:
        without_map = sorted(set(photos) - set(labels))
        without_photo = sorted(set(labels) - set(photos))
        lonely_photos, lonely_maps = map(folder_source.first_few, (without_map, without_photo))
        advice = self._advice(
            {stem: photos[stem] for stem in without_map},
            {stem: labels[stem] for stem in without_photo},
        )
        if not set(photos) & set(labels):
            raise ValueError(
                f"No photograph has a label map of the same name below {self.root}. Received: "
                f"{len(photos)} photographs {lonely_photos} ({self.photo_suffixes}), "
                f"{len(labels)} label maps {lonely_maps} ({self.label_suffixes}). "
                f"A pair shares its path without the suffix: {self.photos}/a/1.jpg and "
                f"{self.labels}/a/1.bmp.{advice}"
            )
        if without_map or without_photo:
            raise ValueError(
                f"Every photograph needs a label map of the same name, and the reverse. Received: "
                f"{len(without_map)} photographs without a map {lonely_photos}, "
                f"{len(without_photo)} maps without a photograph {lonely_maps} below "
                f"{self.root}. Add the missing files or remove the lonely ones.{advice}"
            )

    def _advice(self, photos, labels) -> str:
        """Settings that leave fewer of these without a partner."""
        lists = (
            " Or name the pairs to use in text files: data/splits=lists "
            "'data.source.splits.files={train: FILE, validation: FILE}'."
        )
        return lists + pair_names.advice(
            *({s: [p] for s, p in x.items()} for x in (photos, labels))
        )

    @property
    def _class_rule(self) -> tuple[str, str]:
        return (
            "With class_folders=true every file lies in a folder named after its class",
            ", or set data.source.class_folders=false",
        )
