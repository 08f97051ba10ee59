"""The guard of every command that writes: no input and no foreign file is overwritten.

Pictures that commands write are marked in a text chunk of the PNG: results, which may be data of
another command, and sheets, layouts and previews, which never are.
"""

import os
from collections.abc import Iterable
from pathlib import Path

SHEET_MARK, IMAGE_MARK = b"tEXttessera\0sheet", b"tEXttessera\0image"
HEAD_BYTES = 256  # a sheet has no colour profile, so that its mark follows the header
ADVICE = "Choose another out, or rename or move that file"


def is_sheet(path) -> bool:
    """Whether a file is a sheet, a layout or a preview that a command has written."""
    return SHEET_MARK in _head(path, HEAD_BYTES)


def refuse_losses(
    written: Iterable[str | Path], read: Iterable[str | Path] = (), *, replaced=None
) -> None:
    """Refuses to begin where something would be lost.

    Args:
        written: files that the command is about to write.
        read: files that it reads.
        replaced: folder that it replaces as a whole, or None.

    Raises:
        ValueError: a file would be written twice, in the place of one that is read, or in the place
            of one that no command of this application has written; or the folder holds a file that
            is read. The message names it.
    """
    read = list(read)
    inputs = {_place(path): path for path in read}
    targets: dict = {}
    for path in map(Path, written):
        if (first := targets.setdefault(os.path.realpath(path), path)) is not path:
            raise ValueError(
                f"Expected results with a name of their own each. Received: two for {first}. "
                "Rename what they are made of"
            )
        if (lost := inputs.get(_place(path))) is not None:
            raise ValueError(
                f"Expected results that replace nothing that is read. Received: {path}, which "
                f"would replace {lost}. {ADVICE}"
            )
        if path.exists() and not _is_ours(path):
            raise ValueError(
                "Expected a place without files of other origin, as none is overwritten. "
                f"Received: {path}, which is there already. {ADVICE}"
            )
    whole = None if replaced is None else Path(os.path.realpath(replaced))
    held = [path for path in read if whole in Path(os.path.realpath(path)).parents]
    if held:
        raise ValueError(
            f"Expected a folder to replace that holds nothing that is read. Received: "
            f"{replaced}, with {held[0]}. {ADVICE}"
        )


def _place(path) -> tuple:
    """What tells files apart, whatever links and spellings lead to them."""
    try:
        status = os.stat(path)
        return status.st_dev, status.st_ino
    except OSError:
        return (os.path.realpath(path),)


def _is_ours(path) -> bool:
    head = _head(path, 1 << 20)  # of an image, after the colour profile
    return IMAGE_MARK in head or SHEET_MARK in head


def _head(path, size) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(size)
    except OSError:
        return b""
