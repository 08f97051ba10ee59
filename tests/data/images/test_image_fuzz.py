"""Damaged images of every format: read alike by check and training, or refused by name."""

import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import image_fuzz, mutations, tiny

PNG = mutations.whole_files()["png_rgb"]
RLE = mutations.whole_files()["rle8"]
JPEG = mutations.whole_files()["jpeg"]


def png_of(width, height, bits=8, colour=2):
    """A PNG that says so in its header, and no more."""
    return mutations.with_checksums(
        PNG[:16] + struct.pack(">IIBB", width, height, bits, colour) + PNG[26:]
    )


def jpeg_of(width, height):
    place = JPEG.index(b"\xff\xc0") + 5
    return JPEG[:place] + struct.pack(">HH", height, width) + JPEG[place + 4 :]


FOUND = {
    "whole": ("photo", PNG),
    "PNG of 65,535 pixels square": ("refused", png_of(65535, 65535)),
    "PNG of 2^31 pixels in a row": ("refused", png_of(2**31 - 1, 1)),
    "PNG without a pixel": ("refused", png_of(0, 7)),
    "PNG of another depth": ("refused", png_of(13, 7, 16)),
    "PNG of an unknown colour type": ("refused", png_of(13, 7, 8, 5)),
    "JPEG of 65,535 pixels square": ("refused", jpeg_of(65535, 65535)),
    "BMP whose runs end at once": ("refused", RLE.replace(RLE[-90:], b"\0\1")),
    "BMP of 52 million pixels in 1,260 bytes": ("refused", RLE[:20] + b"r" + RLE[21:]),
    "PNG with a wrong checksum": ("refused", PNG[:-16] + bytes(4) + PNG[-12:]),
    "EPS, for which Pillow starts a program": ("refused", b"%!PS-Adobe-3.0 EPSF-3.0\n"
        b"%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"),
}  # fmt: skip


@pytest.fixture(scope="module")
def readers(tmp_path_factory):
    return image_fuzz.Readers(tmp_path_factory.mktemp("fuzz"))


@pytest.mark.parametrize("name", mutations.whole_files())
def test_whole_files_are_read(readers, name):
    assert readers.outcome(image_fuzz.FILES[name]).startswith("photo")


@pytest.mark.parametrize("name", FOUND)
def test_what_was_found(readers, name):
    outcome, data = FOUND[name]
    assert readers.outcome(data).startswith(outcome)


@pytest.mark.filterwarnings("ignore")
def test_some_damaged_files(readers):
    outcomes = [readers.outcome(image_fuzz.damaged(number)) for number in range(250)]
    assert 25 < outcomes.count("refused") < 250


@pytest.mark.slow
def test_damaged_files(tmp_path):
    """In a process whose memory is limited, and where no file may take a minute."""
    count = 20_000
    command = [sys.executable, "-W", "ignore", "-m", "tests.helpers.image_fuzz"]
    ended = subprocess.run(
        [*command, str(tmp_path), "0", str(count)], cwd=tiny.ROOT, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, timeout=900,
    )  # fmt: skip
    number = Path(tmp_path, "at").read_text()
    assert ended.returncode == 0, f"file {number} ended the process: {ended.returncode}"
    found = json.loads(ended.stdout)
    assert found["wrong"] == {} and sum(found["outcomes"].values()) == count
    assert found["outcomes"]["refused"] < 0.9 * count
