"""Files as a user names them: one, or all of a folder."""

from collections.abc import Sequence
from pathlib import Path

from data.sources import folder_source


def by_name(
    root: Path,
    setting: str,
    suffixes: Sequence[str],
    *,
    expected: str = "FILE or FOLDER of images",
    skipped: Sequence[Path] = (),
) -> dict[str, Path]:
    """{path below root without suffix: path} of its files, sorted; or the file itself.

    Args:
        root: a file or a folder.
        setting: that names it, for messages.
        suffixes: of the files, lower case.
        expected: what the setting may be, for messages.
        skipped: folders below root that are left out.

    Raises:
        FileNotFoundError: there is none.
        ValueError: two have the same name.
    """
    if root.is_file():
        return {root.stem: root}
    inner = [path.resolve() for path in skipped if root.resolve() in path.resolve().parents]
    kept = {}
    for stem, found in folder_source.paths_by_stem(root, suffixes).items():
        paths = [Path(p) for p in found]
        paths = [p for p in paths if not any(f in p.resolve().parents for f in inner)]
        if len(paths) > 1:
            raise ValueError(
                f"Expected files of different names in {setting}=, as each gives its name to a "
                f"result or belongs to a file of its name. Received: {paths[0]} and {paths[1]}, "
                f"both {[stem]}. Move one of them elsewhere."
            )
        if paths:
            kept[stem] = paths[0]
    if not kept:
        state = "a folder without any" if root.is_dir() else "not there"
        raise FileNotFoundError(
            f"Expected {setting}={expected}, {', '.join(suffixes)}. Received: {setting}={root}, "
            f"{state}."
        )
    return dict(sorted(kept.items()))


def paired(images: dict[str, Path], masks: Path, root: Path) -> dict[str, Path]:
    """{name of image: path of its mask}; a single mask is that of all images.

    Raises:
        ValueError: images without a mask, or masks without an image.
    """
    if masks.is_file():
        return dict.fromkeys(images, masks)
    found = by_name(masks, "masks", folder_source.PHOTO_SUFFIXES)
    without_mask = sorted(set(images) - set(found))
    # Where one image of many is chosen, the masks of the others are of no interest.
    without_image = sorted(set(found) - set(images)) if root.is_dir() else []
    if without_mask or without_image:
        raise ValueError(
            "Expected a mask for every image and an image for every mask, of the same path "
            f"without suffix. Received: {len(without_mask)} images without a mask "
            f"{folder_source.first_few(without_mask)}, {len(without_image)} masks without an image "
            f"{folder_source.first_few(without_image)}, images={root}, masks={masks}. Add or "
            "remove files, or name one mask for all: masks=FILE."
        )
    return {name: found[name] for name in images}
