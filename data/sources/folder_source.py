"""Where the items are: a source turns a split name into records (files and classes)."""

import collections
import functools
import logging
import os
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data import files, outputs

PHOTO_SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".avif",
)  # fmt: skip
OWN_PICTURE, NO_SUFFIX = "sheets or layouts of earlier commands", "without suffix"
MAX_NAMED = 5

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Record:
    """One item: its name, its photograph, and where the source has them its map and its class."""

    name: str
    photo: str
    label_map: str | None = None
    label: int | None = None

    def read(self) -> tuple[bytes, bytes | None]:
        """(bytes of the photograph, bytes of the label map or None); OSError if one is gone."""
        photo = files.read_bytes(self.photo, "photograph")
        if self.label_map is None:
            return photo, None
        return photo, files.read_bytes(self.label_map, "label map")

    def stamp(self) -> list:
        """JSON-clean values that change with the files; OSError if one is gone."""
        return [file_stamp(path) for path in (self.photo, self.label_map) if path is not None]


class Source:
    """What sources share; a source defines `root`, the folder of the data set, and `_records`."""

    root: Any

    @property
    def _records(self) -> Mapping[str, Sequence[Record]]:
        """{split: its items in a fixed order}."""
        raise NotImplementedError

    @property
    def image_class_names(self) -> tuple[str, ...]:
        """Classes of whole images; the position is the id. Empty where images have none."""
        return ()

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(self._records)

    def records(self, split) -> Any:
        if split not in self._records:
            raise KeyError(
                f"The data set has no split '{split}'. Received: {self.splits}"
                f"{self._advice_for(split)}"
            )
        return self._records[split]

    def count(self, split) -> int:
        return len(self.records(split))

    def contents(self, split) -> Any:
        """None where records are files; else an op that gives the bytes of an item."""
        return None

    def _advice_for(self, split) -> str:
        """How the error about a split that is not there goes on."""
        raise NotImplementedError


class FolderSource(Source):
    """What sources of files share: `_paths` has the items by name, `_record` makes one of them."""

    items: str  # what messages call the items

    def __init__(self, root, photos, split_rule, photo_suffixes) -> None:
        self.root = os.path.expanduser(str(root))
        self.photos = photos
        self.splits_by = split_rule
        self.photo_suffixes = tuple(photo_suffixes)

    @property
    def _folder(self) -> Path:
        """What names of items and messages are relative to."""
        return Path(self.root) / self.photos

    @functools.cached_property
    def _records(self) -> dict[str, tuple[Record, ...]]:
        assigned = self.splits_by.assign(list(self._paths), self._folder, self._aliases)
        if self.image_class_names:
            assigned = self._with_every_class_trained(assigned)
        records = {split: tuple(map(self._record, names)) for split, names in assigned.items()}
        if not records.get("train"):
            raise ValueError(
                f"There is nothing to train on: split 'train' is empty. "
                f"Received: splits={sorted(records)} below {self._folder}"
            )
        return records

    def _with_every_class_trained(self, assigned) -> dict[str, list[str]]:
        """The same where classes that a hash has left without training items get one (group)."""
        rule, moved = self.splits_by, set()
        trained = {self._class_folder(name) for name in assigned.get("train", ())}
        for name in self._paths:
            if self._class_folder(name) not in trained and rule.is_by_hash(name):
                trained.add(self._class_folder(name))
                moved.add(rule.group_of(name))
        if not moved:
            return assigned
        split_of = {name: split for split, names in assigned.items() for name in names}
        kept = {split: [] for split in assigned}
        for name in self._paths:
            is_moved = rule.is_by_hash(name) and rule.group_of(name) in moved
            kept["train" if is_moved else split_of[name]].append(name)
        return kept

    def _refuse_missing(self, expected, **folders) -> None:
        """Raises a FileNotFoundError where one of {setting: folder below root} is missing."""
        root = Path(self.root)
        for what, folder in folders.items():
            if not any(found.is_dir() for _, found in matching(root, folder)):
                setting, path = f"data.source.{what}", root / folder
                if not root.is_dir():
                    what, setting, path = "data set", "data.root", root
                elif next(root.glob(f"*/{folder}/"), None):
                    expected += f", or in <root>/*/: data.source.{what}='*/{folder}'"
                raise FileNotFoundError(
                    f"The folder of the {what} does not exist. Received: {setting} -> "
                    f"{path.absolute()}. Expected: {expected}"
                )

    @property
    def _paths(self) -> Mapping[str, Any]:
        raise NotImplementedError

    def _aliases(self, paths=None) -> dict[str, str]:
        """{what a list may call an item: its name}: its photograph below root, as it is spelled."""
        aliases = {}
        for name, path in (self._paths if paths is None else paths).items():
            photo = path if isinstance(path, str) else path[0]
            relative = os.path.relpath(photo, self.root)
            aliases[stem_of(relative)] = aliases[stem_of(os.path.abspath(photo))] = name
            aliases[stem_of(os.path.relpath(photo, Path(self.root, self.photos)))] = name
        return aliases

    def _record(self, name) -> Record:
        raise NotImplementedError

    def _advice_for(self, split) -> str:
        return (
            f" below {self.root}. Add the folder or list of this split, or take a share of the "
            f"{self.items}: data/splits=hashed"
        )

    @functools.cached_property
    def _ids(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.image_class_names)}

    @property
    def _class_rule(self) -> tuple[str, str]:
        """What holds of class folders, and what helps besides moving an item that lies in none."""
        raise NotImplementedError

    def _class_folder(self, name) -> str:
        folder, slash, _ = self.splits_by.inner_path(name).partition("/")
        if not slash:
            rule, remedy = self._class_rule
            raise ValueError(f"{rule}. Received: '{name}' below {self._folder}. Move it{remedy}")
        return folder


def files_by_stem(root, pattern, suffixes, what, ending="", other="", known=()) -> dict[str, str]:
    """Returns {path below folder without ending and suffix: path} of all files that have them.

    Args:
        root: folder of the data set.
        pattern: of folders below root; what its stars stand for comes before the path.
        suffixes: of the files, lower case.
        what: the files are, for messages.
        ending: of their names before the suffix.
        other: ending of files that are left out, where it is longer.
        known: suffixes that are not counted as not read.

    Raises:
        ValueError: two files differ only in their suffix, or in how Unicode spells their name.
    """
    found = {
        (stars + stem).removesuffix(ending): paths
        for stars, folder in matching(root, pattern)
        for stem, paths in paths_by_stem(folder, suffixes, known).items()
        if stem.endswith(ending) and not (len(other) > len(ending) and stem.endswith(other))
    }
    for first, *others in found.values():
        if others:
            suffix = os.path.splitext(others[0])[1].lower()
            raise ValueError(
                f"Two {what} have the same name and differ only in their suffix. Received: "
                f"{first} and {others[0]}. Remove one, or read one kind only: "
                f"data.source.{'photo' if what == 'photographs' else 'label'}_suffixes=[{suffix}]"
            )
    return {stem: paths[0] for stem, paths in found.items()}


def matching(root, pattern) -> list[tuple[str, Path]]:
    """[(what the stars stand for and "/", folder)] of the folders below root that match a pattern.

    A pattern without a star is one folder, there or not: [("", root / pattern)].
    """
    if "*" not in pattern:
        return [("", Path(root, pattern))]
    regex = re.compile(re.escape(Path(pattern).as_posix()).replace(r"\*", "([^/]*)"))
    found = []
    for folder in sorted(Path(root).glob(pattern)):
        match = regex.fullmatch(folder.relative_to(root).as_posix())
        if match and folder.is_dir() and not any(part.startswith(".") for part in match.groups()):
            found.append(("".join(f"{normal(part)}/" for part in match.groups()), folder))
    return found


def paths_by_stem(folder, suffixes, known=()) -> dict[str, list[str]]:
    """Returns {path below folder without suffix: paths} of all files with one of the suffixes.

    What else lies there is counted in the log by suffix, but for the suffixes that are known.
    """
    found, unread = {}, collections.Counter()
    for stem, path in walk(folder, suffixes, unread):
        found.setdefault(stem, []).append(path)
    counts = {suffix: count for suffix, count in unread.items() if suffix not in known}
    if counts:
        _say_unread(str(folder), ", ".join(f"{n} {s}" for s, n in sorted(counts.items())))
    return found


def stem_of(path) -> str:
    """A path without suffix, with "/" between folders and its letters in Unicode's form NFC."""
    return normal(os.path.splitext(path)[0].replace(os.sep, "/"))


def normal(name: str) -> str:
    """The one spelling of a name that Unicode can spell in several ways: systems differ in it."""
    return unicodedata.normalize("NFC", name)


@functools.lru_cache(maxsize=64)  # once, however often a command looks
def _say_unread(folder, counts) -> None:
    log.warning("Not read below %s: %s", folder, counts)


def walk(folder, suffixes, unread=None) -> Iterator[tuple[str, str]]:
    """Yields (path below folder without suffix, path) of all files with one of the suffixes.

    Links are followed, after all that lies there itself; no folder is read twice. Hidden files and
    folders are passed over. Sheets, layouts and previews that commands wrote are no data. What is
    not read is counted in `unread`, a Counter, by suffix. The first of each pair has Unicode's form
    NFC.

    Raises:
        ValueError: a broken link, a pipe or a device with one of the suffixes.
    """
    seen, waiting = {}, [(os.fspath(folder), "")]
    while waiting:  # grows: links found on the way
        yield from _walk(*waiting.pop(0), suffixes, seen, waiting, unread)


def _walk(folder, stem, suffixes, seen, links, unread) -> Iterator[tuple[str, str]]:
    try:
        status = os.stat(folder)
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:  # As os.walk has it: what cannot be listed holds nothing.
        return
    place = (status.st_dev, status.st_ino)
    if place in seen:
        log.info("%s is a link to %s, which is read already", folder, seen[place])
        return
    seen[place] = folder
    entries = [entry for entry in entries if not entry.name.startswith(".")]
    for entry in entries:
        base, suffix = os.path.splitext(entry.name)
        if suffix.lower() in suffixes and not entry.is_dir():
            if not entry.is_file():
                raise ValueError(
                    f"{entry.path}: a broken link, or a pipe or device instead of a file. Remove it"
                )
            if suffix.lower() != ".png" or not outputs.is_sheet(entry.path):
                yield stem + normal(base), entry.path
                continue
            suffix = OWN_PICTURE
        if unread is not None and not entry.is_dir():
            unread[suffix.lower() or NO_SUFFIX] += 1
    for entry in entries:
        if entry.is_dir() and entry.is_symlink():
            links.append((entry.path, f"{stem}{normal(entry.name)}/"))
        elif entry.is_dir():
            below = f"{stem}{normal(entry.name)}/"
            yield from _walk(entry.path, below, suffixes, seen, links, unread)


def file_stamp(path) -> list:
    """[file name, size in bytes, times of the last change of content and of anything, in ns].

    Programs can set the first time back, and copy it; the second is the system's own.
    """
    status = os.stat(path)
    return [os.path.basename(path), status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def first_few(names) -> str:
    """Some of the names, for a message."""
    return f"{names[:MAX_NAMED]}" + (" ..." if len(names) > MAX_NAMED else "")
