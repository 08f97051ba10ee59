"""Which item belongs to which split: by folder, by list file, or by a hash of its name."""

import hashlib
import re
import unicodedata
from pathlib import Path

from data import files


class SplitRule:
    """Puts every item, named by its path below the data root without suffix, into a split."""

    def assign(self, stems, root, aliases=dict) -> dict[str, list[str]]:
        """{split: its stems}; `aliases` gives {another name of an item: its stem}."""
        raise NotImplementedError

    def listed(self, stems, root, aliases=dict) -> set[str] | None:
        """The stems that lists name; None where all files are meant."""
        return None

    def group_of(self, stem) -> str:
        """Items of one group stay in one split."""
        return stem

    def is_by_hash(self, stem) -> bool:
        """Whether the split of this item is a matter of chance, and not what somebody wrote."""
        return False

    def inner_path(self, stem) -> str:
        """The part of a stem below the split, where the class folder is."""
        return stem


class FolderSplits(SplitRule):
    """The first folder below photos/ and labels/ is the split: photos/train/0001.jpg.

    Args:
        train: str, name of the folder. Default "train".
        validation: str. Default "validation".
        test: str. Default "test".
        validation_share: float between 0 and 1. Where there is no validation folder, this share
            of the training folder, chosen by a hash of the name, is for validation. Default none.

    Raises:
        ValueError: a file outside these folders, a share that cannot be or that gives no item.
    """

    configurable = True

    def __init__(
        self, train="train", validation="validation", *, test="test", validation_share=None
    ) -> None:
        self.train = train
        self.validation = validation
        self.test = test
        self.validation_share = validation_share
        if validation_share is not None and not 0 < validation_share < 1:
            raise ValueError(
                f"`validation_share` lies between 0 and 1, or is null. "
                f"Received: validation_share={validation_share}"
            )

    def assign(self, stems, root, aliases=dict) -> dict[str, list[str]]:
        split_of = {self.train: "train", self.validation: "validation", self.test: "test"}
        assigned = {}
        for stem in stems:
            folder = stem.partition("/")[0] if "/" in stem else ""
            if folder not in split_of:
                raise ValueError(
                    f"With splits by folder every file lies below one of the folders "
                    f"{sorted(split_of)}. Received: '{stem}' (root={root}). Name the folders with "
                    f"data.source.splits.validation=..., or split by name: data/splits=hashed"
                )
            assigned.setdefault(split_of[folder], []).append(stem)
        if self.validation_share and "train" in assigned and "validation" not in assigned:
            return self._with_share(assigned, root)
        return assigned

    def _with_share(self, assigned, root) -> dict[str, list[str]]:
        rule = HashedSplits({"validation": self.validation_share})
        parts = {"train": [], "validation": []}
        for stem in assigned["train"]:
            parts[rule.split_of(stem)].append(stem)
        if not all(parts.values()):
            raise ValueError(
                f"The share taken from {len(assigned['train'])} items below '{self.train}' leaves "
                f"{len(parts['train'])} for training and {len(parts['validation'])} for "
                f"validation. Received: validation_share={self.validation_share} (root={root}). "
                f"Change data.source.splits.validation_share"
            )
        return {**assigned, **parts}

    def inner_path(self, stem) -> str:
        return stem.partition("/")[2]

    def is_by_hash(self, stem) -> bool:
        return stem.partition("/")[0] == self.train


class ListSplits(SplitRule):
    """A text file per split names its items: one stem per line, # starts a comment.

    A line may also be the path of the photograph, below the root or whole, and more words may
    follow it. The text is UTF-8, or UTF-16 with its mark; "\\" is read as "/".

    Args:
        files: {split: path of the list}, relative paths below the data root.

    Raises:
        FileNotFoundError: a list is missing.
        ValueError: a list is empty, names an unknown item, or two lists share one.
    """

    configurable = True

    def __init__(self, files) -> None:
        self.files = dict(files)

    def assign(self, stems, root, aliases=dict) -> dict[str, list[str]]:
        owner, assigned = {}, {}
        for split, listed in self._read(stems, root, aliases).items():
            for stem in listed:
                if stem in owner:
                    raise ValueError(
                        f"'{stem}' is listed twice, in '{owner[stem]}' and in '{split}' "
                        f"({Path(root) / self.files[split]}). An item belongs to one split; remove "
                        f"it from one of the lists."
                    )
                owner[stem] = split
            assigned[split] = listed
        return assigned

    def listed(self, stems, root, aliases=dict) -> set[str] | None:
        return {stem for listed in self._read(stems, root, aliases).values() for stem in listed}

    def _read(self, stems, root, aliases) -> dict[str, list[str]]:
        """{split: the stems that its list names}."""
        known, found = dict(zip(stems, stems, strict=True)), {}
        for split, file in self.files.items():
            path = Path(root) / Path(file).expanduser()
            lines = [_as_written(line) for line in _lines(path, split)]
            lines = [line for line in lines if line]
            if not all(line in known for line in lines):
                known = aliases() | known
            listed = [_named(line, known) for line in lines]
            unknown = [li for li, stem in zip(lines, listed, strict=True) if stem is None]
            if unknown or not listed:
                shown = [stem if len(stem) <= 99 else f"{stem[:99]}..." for stem in unknown[:5]]
                received = f"{shown} ({len(unknown)} in all)" if unknown else "no lines"
                raise ValueError(
                    f"{path}: the list of split '{split}' must name items of this data set, like "
                    f"{sorted(stems)[:3]}. Received: {received}"
                )
            found[split] = [stem for stem in listed if stem is not None]
        return found


def _as_written(line) -> str:
    """A line of a list without comment, in the spelling of stems."""
    return unicodedata.normalize("NFC", re.sub(r"(^|\s)#.*", "", line).strip())


def _named(line, known) -> str | None:
    """The item that a line names: as it stands, or its first word, with "/" or without suffix."""
    words = line.split()[:1] if line not in known else []
    for text in dict.fromkeys([line, *words]):
        for path in (text, text.replace("\\", "/")):
            name = path.removeprefix("./")
            for whole in (path, name, name.removeprefix("/")):
                # Lists often carry suffixes; `0001.jpg` means `0001` unless that is itself a stem.
                for stem in (whole, whole.rpartition(".")[0]):
                    if stem in known:
                        return known[stem]
    return None


def _lines(path, split) -> list[str]:
    if not path.is_file():
        raise FileNotFoundError(
            f"The list of split '{split}' is missing. Received: {path}. Write one stem (path below "
            f"photos/ without suffix) per line, or change data.source.splits.files.{split}"
        )
    return files.read_text(path, f"list of split '{split}'").splitlines()


class NoSplits(SplitRule):
    """Every item belongs to the split "train"."""

    configurable = True

    def assign(self, stems, root, aliases=dict) -> dict[str, list[str]]:
        return {"train": list(stems)}


class HashedSplits(SplitRule):
    """A hash of the name decides: stable when files are added, the same on every machine.

    Args:
        fractions: {split: share of the groups}; "train" gets the rest. Default validation: 0.1.
        group_pattern: regular expression; items whose captured groups (or whole match) agree stay
            together, such as several crops of one facade. Default: every item by itself.
        group_modulo: int; the captured number is taken modulo this before grouping.
        seed: int, another seed is another split. Default 0.

    Raises:
        ValueError: fractions leave nothing for training, a name does not match, a split is empty.
    """

    configurable = True

    def __init__(self, fractions=None, group_pattern=None, *, group_modulo=None, seed=0) -> None:
        self.fractions = dict(fractions or {"validation": 0.1})
        self.group_pattern = group_pattern
        self.group_modulo = group_modulo
        self.seed = seed
        out_of_range = any(not 0 < share < 1 for share in self.fractions.values())
        if out_of_range or sum(self.fractions.values()) >= 1 or "train" in self.fractions:
            raise ValueError(
                f"`fractions` gives shares between 0 and 1 for splits other than 'train', which "
                f"gets the rest. Received: fractions={self.fractions}"
            )
        try:
            self._pattern = re.compile(group_pattern or ".*", re.DOTALL)
        except re.error as error:
            raise ValueError(
                f"`group_pattern` is not a regular expression: {error}. "
                f"Received: group_pattern={group_pattern!r}"
            ) from None

    def assign(self, stems, root, aliases=dict) -> dict[str, list[str]]:
        assigned = {split: [] for split in ("train", *self.fractions)}
        groups = set()
        for stem in stems:
            group = self.group_of(stem)
            groups.add(group)
            assigned[self.split_of(group)].append(stem)
        for split, members in assigned.items():
            if not members:
                raise ValueError(
                    f"Split '{split}' is empty: {len(stems)} items in {len(groups)} groups leave "
                    f"nothing for it. Received: fractions={self.fractions} (root={root}). Change "
                    f"data.source.splits.fractions or data.source.splits.seed"
                )
        return assigned

    def is_by_hash(self, stem) -> bool:
        return True

    def group_of(self, stem) -> str:
        match = self._pattern.search(stem)
        if match is None:
            raise ValueError(
                f"`group_pattern` must match every name. "
                f"Received: group_pattern={self.group_pattern!r}, name='{stem}'"
            )
        captured = "/".join(part or "" for part in match.groups()) or match.group(0)
        if self.group_modulo is None:
            return captured
        if not captured.isdigit():
            raise ValueError(
                f"With `group_modulo` the pattern captures a number, such as '(\\d+)$'. "
                f"Received: '{captured}' from '{stem}'"
            )
        return str(int(captured) % self.group_modulo)

    def split_of(self, group) -> str:
        digest = hashlib.blake2b(
            f"{self.seed}:{group}".encode(errors="surrogateescape"), digest_size=8
        ).digest()
        position = int.from_bytes(digest, "big") / 2**64
        for split, share in self.fractions.items():
            if position < share:
                return split
            position -= share
        return "train"
