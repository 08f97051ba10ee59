"""What the names of photographs and label maps that belong together differ in."""

import collections
import os
import re
import shlex

MAX_TRIED = 20
PREFERRED = ("labelid", "label", "mask", "seg", "_l", "")
"""Of several maps of one photograph, the one whose ending says that it holds class ids."""


def advice(photos: dict[str, list[str]], labels: dict[str, list[str]]) -> str:
    """The settings that would pair these files, {stem: paths}; empty where none are seen."""
    suffixes = collections.Counter(
        (_suffix(photo), _suffix(label))
        for stem in photos.keys() & labels.keys()
        for photo in photos[stem]
        for label in labels[stem]
        if _suffix(photo) != _suffix(label)
    )
    if suffixes:  # a photograph is a JPEG, and ids are rather in a BMP than in a picture
        photo, label = max(suffixes, key=lambda p: (p[0][:3] == ".jp", p[1] == ".bmp", suffixes[p]))
        seen = sorted({suffix for pair in suffixes for suffix in pair})
        return (
            f" Files of one name have the suffixes {seen}. Set for example "
            f"data.source.photo_suffixes=[{photo}] data.source.label_suffixes=[{label}]"
        )
    found = endings(photos, labels)
    if not found:
        return ""
    wanted = [next(i for i, word in enumerate(PREFERRED) if word in label.lower())
              for _, label in found]  # fmt: skip
    photo, label = found[wanted.index(min(wanted))]
    settings = {"photo_ending": photo, "label_ending": label}
    return (
        f" The names of maps end in {sorted({label for _, label in found})}. Set for example "
        + shlex.join(f"data.source.{key}={value}" for key, value in settings.items() if value)
    )


def endings(photos, labels) -> list[tuple[str, str]]:
    """[(ending of photographs, ending of maps)] that pair half of the photographs, best first."""
    by_folder = collections.defaultdict(list)
    for label in labels:
        by_folder[os.path.dirname(label)].append(label)
    candidates = set()
    for photo in sorted(photos)[:MAX_TRIED]:
        near = [label for label in by_folder[os.path.dirname(photo)] if label != photo]
        shared = {label: len(os.path.commonprefix([photo, label])) for label in near}
        longest = max(shared.values(), default=0)
        # What differs begins with its separator, where there is one.
        start = len(re.sub(r"[-_. ]+$", "", photo[:longest]))
        candidates |= {(photo[start:], la[start:]) for la, n in shared.items() if n == longest}
    pairs = {
        (photo, label): sum(
            s.endswith(photo) and s.removesuffix(photo) + label in labels for s in photos
        )
        for photo, label in candidates
        if photo != label
    }
    # In one folder the maps count among the photographs.
    enough = max(1, len(set(photos) - set(labels)) / 2)
    found = [pair for pair, count in pairs.items() if count >= enough]
    return sorted(found, key=lambda pair: (-pairs[pair], pair))


def _suffix(path) -> str:
    return os.path.splitext(path)[1].lower()
