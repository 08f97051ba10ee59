"""No command overwrites what it reads, what others made, or its own results; sheets are no data."""

import os

import numpy as np
import pytest
from PIL import Image

from data import outputs
from data.sources import folder_source
from training.watch import contact_sheet

PICTURE = np.zeros((4, 5, 3), np.uint8)


@pytest.fixture
def foreign(tmp_path):
    Image.fromarray(PICTURE).save(tmp_path / "foreign.png")
    return tmp_path / "foreign.png"


def test_results_and_sheets_of_earlier_commands_are_replaced(tmp_path):
    contact_sheet.write_png(tmp_path / "image.png", PICTURE, b"profile" * 9999)
    contact_sheet.write_sheet(tmp_path / "sheet.png", PICTURE)
    outputs.refuse_losses([tmp_path / "image.png", tmp_path / "sheet.png", tmp_path / "new.png"])


def test_what_would_be_lost_is_named(tmp_path, foreign):
    new = tmp_path / "new.png"
    with pytest.raises(ValueError, match="two for .*new.png"):
        outputs.refuse_losses([new, tmp_path / "x/../new.png"])
    with pytest.raises(ValueError, match="foreign.png, which is there already. Choose another out"):
        outputs.refuse_losses([new, foreign])
    with pytest.raises(ValueError, match="Received: .*foreign.png, which would replace .*foreign"):
        outputs.refuse_losses([foreign], [foreign])
    os.link(foreign, tmp_path / "hard.png")
    (tmp_path / "soft.png").symlink_to(foreign)
    for name in ("hard.png", "soft.png"):
        with pytest.raises(ValueError, match=f"{name}, which would replace .*foreign.png"):
            outputs.refuse_losses([tmp_path / name], [foreign])
    with pytest.raises(ValueError, match="holds nothing that is read.*foreign.png"):
        outputs.refuse_losses((), [foreign], replaced=tmp_path)


def test_sheets_are_no_data_and_what_is_not_read_is_counted(tmp_path, foreign, caplog):
    contact_sheet.write_png(tmp_path / "image.png", PICTURE)
    contact_sheet.write_sheet(tmp_path / "a" / "x_layout.png", PICTURE)
    for name in ("1.TIFX", "2.tifx", "a/3.tifx", "notes", ".hidden.tifx"):
        (tmp_path / name).write_bytes(b"")
    found = folder_source.paths_by_stem(tmp_path, [".png"])
    assert sorted(found) == ["foreign", "image"]
    assert "3 .tifx, 1 sheets or layouts of earlier commands, 1 without suffix" in caplog.text
    for _ in range(2):
        caplog.clear()
        folder_source.paths_by_stem(tmp_path, [".png"], known=[".tifx"])
    assert not caplog.text  # once, however often a command looks
