"""Repairing photographs: known pixels untouched, masks and holes, sizes, and wrong input."""

import logging

import hydra
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from data.images import photos
from scripts.sampling import photograph_files, photographs, sampling
from tests.helpers import tiny
from training.kinds import inpainting
from training.kinds import photographs as any_size
from training.runs import trained_run
from training.watch import contact_sheet

READER = photos.PhotoReader()
RNG = np.random.default_rng(11)
SIZE = tiny.SIZE


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of two steps, of reconstruction alone."""
    folder = tmp_path_factory.mktemp("inpainting")
    data_root = tiny.write_data(folder / "data")
    done = tiny.command(
        "train.py", "experiment=inpaint_synthetic", "debug=few_steps", "trainer.steps=2",
        *tiny.data_overrides(data_root), f"data.image_size=[{SIZE},{SIZE}]", "generator.width=4",
        "discriminator.channels=[4,4]", "task.objective.adversarial_start_step=2",
        "summaries.rows=6", "trainer.batch_size=2", f"output_root={folder / 'out'}",
        "evaluation.num_images=1",
        "task.optimizers.generator.learning_rate=0.02",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (made,) = (folder / "out").glob("*/*")
    return made


@pytest.fixture(scope="module")
def opened(run):
    """The same run, opened once for tests of files; its data set is not there."""
    return trained_run.open_run(run, data_root=run / "gone")


def composed(run, out, **settings):
    overrides = [f"run={run}", f"out={out}", *(f"{k}={v}" for k, v in settings.items())]
    with hydra.initialize_config_dir(str(tiny.ROOT / "configs"), version_base="1.3"):
        return hydra.compose("sample", overrides)


def repaired(opened, out, **settings):
    """Runs the sampler; returns {file name: pixels}."""
    config = composed("any", out, **settings)
    text = photographs.sample(opened, config, out)
    files = {str(path.relative_to(out)): path for path in out.rglob("*.png")}
    count = sum("_layout" not in name for name in files) - 1
    assert text == f"{count} images of step 2 in {out}, sheet {out}/sheet.png"
    return {name: np.asarray(Image.open(path)) for name, path in files.items()}


def random_image(height, width, channels=3):
    pixels = RNG.integers(0, 256, (height, width, channels), np.uint8)
    return pixels[..., 0] if channels == 1 else pixels


def save(path, pixels, mode=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


def mask(height, width):
    """Missing: a rectangle that is not in the middle and touches the border."""
    hole = np.zeros((height, width), np.uint8)
    hole[height // 3 :, : (width + 1) // 2] = 255
    return hole


SIZES = {
    "rgb": (37, 51),
    "deep/grey": (13, 40),
    "palette": (24, 32),
    "tiny": (3, 1),
    "bmp": (37, 51),
}


@pytest.fixture
def folders(tmp_path):
    """Photographs of all kinds and sizes with their masks."""
    images, masks = tmp_path / "images", tmp_path / "masks"
    save(images / "rgb.jpg", random_image(*SIZES["rgb"]))
    save(images / "deep/grey.png", random_image(*SIZES["deep/grey"], 1))
    save(images / "palette.png", random_image(*SIZES["palette"]), "P")
    save(images / "tiny.webp", random_image(*SIZES["tiny"]), lossless=True)
    save(images / "bmp.bmp", random_image(*SIZES["bmp"]))
    for name, size in SIZES.items():
        save(masks / f"{name}.png", mask(*size))
    return images, masks


def test_known_pixels_are_those_of_the_file_and_the_hole_is_painted(opened, folders, tmp_path):
    images, masks = folders
    made = repaired(opened, tmp_path / "out", images=images, masks=masks)
    assert set(made) == {"sheet.png", *(f"{name}.png" for name in SIZES)}
    for path in (path for path in images.rglob("*") if path.is_file()):
        name = str(path.relative_to(images).with_suffix(""))
        original = np.asarray(Image.open(path).convert("RGB"))
        known = mask(*SIZES[name]) < 128
        np.testing.assert_array_equal(made[f"{name}.png"][known], original[known])
        assert made[f"{name}.png"].shape == (*SIZES[name], 3)
        assert (made[f"{name}.png"][~known] != original[~known]).mean() > 0.9
    alone = repaired(opened, tmp_path / "alone", images=images / "rgb.jpg", masks=masks,
                     batch_size=1)  # fmt: skip
    np.testing.assert_allclose(alone["rgb.png"].astype(int), made["rgb.png"], atol=1)


def test_the_hole_shows_what_the_network_makes_of_the_photograph(opened, folders, tmp_path):
    """Here at 24 x 32, where nothing is filled up: the network called by hand."""
    images, masks = folders
    made = repaired(opened, tmp_path / "out", images=images / "palette.png", masks=masks)
    original = np.asarray(Image.open(images / "palette.png").convert("RGB"))
    hole = (mask(24, 32) >= 128)[..., None]
    masked = ((original / 127.5 - 1.0) * ~hole).astype(np.float32)
    outputs = opened.task.generator(
        {"masked_image": masked[None], "hole": hole[None].astype(np.float32)}
    )
    refined = np.round((outputs["refined"].numpy()[0].astype(float) + 1) * 127.5)
    expected = np.where(hole, refined, original)
    np.testing.assert_allclose(made["palette.png"].astype(int), expected, atol=1)
    sheet = made["sheet.png"]  # original, masked, coarse, refined, pasted
    for column, picture in ((0, original), (1, np.where(hole, 128, original)), (4, expected)):
        left, top = contact_sheet.tile_corner(0, column, 24, 32, contact_sheet.ROW_TITLE_WIDTH)
        tile = sheet[top : top + 24, left : left + 32]
        np.testing.assert_allclose(tile.astype(int), picture, atol=1)


def test_sides_are_filled_up_by_mirroring_photograph_and_hole(opened):
    image, hole = random_image(11, 6), RNG.random((11, 6)) < 0.4
    size = inpainting.padded_size((11, 6))
    assert size == (16, 8) and inpainting.padded_size((8, 1)) == (8, 8)
    inputs = inpainting.network_inputs(opened, [(image, hole)], size)
    for row in range(16):
        for column in range(8):
            y, x = min(row, 20 - row), min(column, 10 - column)
            missing = hole[y, x]
            assert inputs["hole"][0, row, column, 0] == missing
            expected = 0.0 if missing else image[y, x] / 127.5 - 1.0
            np.testing.assert_allclose(inputs["masked_image"][0, row, column], expected, atol=1e-6)


def test_validation_photographs_are_those_of_the_training_time_sheet(run, tmp_path):
    text = sampling.sample(composed(run, tmp_path, layouts="true"))
    assert text.startswith("6 images of step 2")
    sheet = np.asarray(Image.open(run / "samples" / "step_00000002.png"))
    paths = sorted(p for p in tmp_path.rglob("*/*.png") if "_layout" not in p.name)
    names = opened_names(run)
    assert len(paths) == 6
    for row, name in enumerate(names):
        for column, end in ((4, ""), (5, "_layout")):  # real, masked, coarse, refined, generated
            left, top = contact_sheet.tile_corner(row, column, SIZE, SIZE)
            tile = sheet[top : top + SIZE, left : left + SIZE].astype(int)
            made = np.asarray(Image.open(tmp_path / f"{name}{end}.png"))
            np.testing.assert_allclose(made, tile, atol=1)


def opened_names(run):
    return trained_run.open_run(run).data.evaluation_names("validation")


def test_masks_of_any_kind(tmp_path):
    image = save(tmp_path / "images/x.png", random_image(24, 32))
    grey = mask(24, 32)

    def hole(file, invert=False):
        config = composed("any", tmp_path, images=image, masks=file, invert=invert)
        (photograph,) = photograph_files.with_holes_of(READER, config, tmp_path / "out")
        return photograph.read()["hole"]

    alpha = np.dstack([np.full((24, 32, 3), 255, np.uint8), grey])  # white on transparent
    black = np.dstack([np.zeros((24, 32, 3), np.uint8), grey])
    for name, pixels, invert in (
        ("grey.png", grey, False),
        ("dim.png", np.where(grey, 128, 127).astype(np.uint8), False),
        ("colour.bmp", np.stack([grey] * 3, -1), False),
        ("bits.png", grey > 0, False),
        ("inverted.png", 255 - grey, True),
        ("alpha.png", alpha, False),
        ("black.png", black, True),
    ):
        np.testing.assert_array_equal(hole(save(tmp_path / name, pixels), invert), grey > 0)
    jpeg = save(tmp_path / "m.jpg", np.stack([grey] * 3, -1), quality=30)
    np.testing.assert_array_equal(hole(jpeg), np.asarray(Image.open(jpeg).convert("L")) >= 128)


def test_a_photograph_stored_on_its_side_comes_back_upright(opened, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    stored = random_image(16, 24)
    image = save(tmp_path / "x.png", stored, exif=exif, icc_profile=b"colours")
    file = save(tmp_path / "mask.png", mask(24, 16))
    made = repaired(opened, tmp_path / "out", images=image, masks=file)["x.png"]
    known = mask(24, 16) < 128
    np.testing.assert_array_equal(made[known], np.rot90(stored, -1)[known])
    with Image.open(tmp_path / "out" / "x.png") as result:
        assert result.info["icc_profile"] == b"colours"


def test_large_photographs_painted_small(opened, tmp_path):
    image, hole = random_image(70, 97), RNG.random((70, 97)) < 0.02
    size = inpainting.painted_size((70, 97), (SIZE, SIZE), True)
    assert size == (32, 44)
    assert inpainting.painted_size((70, 97), (SIZE, SIZE), False) == (70, 97)
    assert inpainting.painted_size((20, 90), (SIZE, SIZE), True) == (20, 90)
    small, missing = inpainting.scaled(image, hole, size)
    garbage = np.where(hole[..., None], 255 - image, image)
    other, _ = inpainting.scaled(garbage, hole, size)
    np.testing.assert_array_equal(small[~missing], other[~missing])
    assert 0.05 < missing.mean() < 0.5
    file = save(tmp_path / "x.png", image)
    made = repaired(opened, tmp_path / "out", images=file, resize=True,
                    masks=save(tmp_path / "m.png", np.uint8(255 * hole)))["x.png"]  # fmt: skip
    np.testing.assert_array_equal(made[~hole], image[~hole])
    inputs = inpainting.network_inputs(opened, [(small, missing)], (32, 48))
    refined = contact_sheet.to_uint8(opened.task.generator(inputs)["refined"])[0, :, :44]
    enlarged = np.asarray(Image.fromarray(refined).resize((97, 70), Image.Resampling.BICUBIC))
    np.testing.assert_allclose(made[hole].astype(int), enlarged[hole], atol=2)


def test_drawn_holes_depend_on_seed_and_name_alone(tmp_path):
    images = tmp_path / "images"
    for name in ("a", "b", "c"):
        save(images / f"{name}.png", random_image(40, 56))
    holes = {}
    for kind in photograph_files.HOLE_NAMES:
        for seed in (0, 1):
            config = composed("any", tmp_path, images=images, hole=kind, seed=seed)
            found = photograph_files.with_holes_of(READER, config, tmp_path / "out")
            holes[kind, seed] = [photograph.read()["hole"] for photograph in found]
            assert all(
                0 < hole.mean() < 0.9 and hole.shape == (40, 56) for hole in holes[kind, seed]
            )
    (images / "a.png").unlink()
    config = composed("any", tmp_path, images=images, hole="freeform", seed=1)
    again = [
        photograph.read()["hole"]
        for photograph in photograph_files.with_holes_of(READER, config, tmp_path)
    ]
    np.testing.assert_array_equal(again, holes["freeform", 1][1:])
    for kind in ("freeform", "strokes", "rectangle"):
        assert not np.array_equal(holes[kind, 0], holes[kind, 1])
        assert not np.array_equal(*holes[kind, 0][:2])
    expected = np.zeros((40, 56), bool)
    expected[10:30, 14:42] = True
    np.testing.assert_array_equal(holes["center", 0][2], expected)


def test_count_and_folders_inside(opened, folders, tmp_path):
    images, masks = folders
    masks = masks.rename(images / "masks")
    made = repaired(opened, images / "out", images=images, masks=masks, count=2)
    assert set(made) == {"bmp.png", "deep/grey.png", "sheet.png"}
    assert set(repaired(opened, images / "out", images=images, masks=masks, count=2)) == set(made)


def test_mostly_white_masks_draw_a_warning(opened, tmp_path, caplog):
    image = save(tmp_path / "x.png", random_image(8, 8))
    file = save(tmp_path / "m.png", np.where(np.arange(64).reshape(8, 8) < 44, 255, 0).astype("u1"))
    with caplog.at_level(logging.WARNING):
        repaired(opened, tmp_path / "out", images=image, masks=file)
        assert "1 of 1 masks miss more than 60 %" in caplog.text and "invert=true" in caplog.text
        caplog.clear()
        repaired(opened, tmp_path / "out", images=image, masks=file, invert=True)
        assert "masks miss" not in caplog.text


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"images": "x"}, "either masks=FILE or FOLDER, or hole=.*center.*Received: neither"),
        ({"images": "x", "masks": "y", "hole": "center"}, "Received: masks=y hole=center"),
        ({"masks": "y"}, "Expected images= beside masks=.*Received: masks=y"),
        ({"invert": True}, "Expected images= beside.*Received: invert=true"),
        ({"images": "x", "hole": "centre"}, "center, freeform, rectangle, strokes;.*mean 'center'"),
        ({"images": "x", "hole": "mask_folder"}, "your own masks are masks=FOLDER.*mask_folder"),
        ({"images": "x", "hole": "center", "invert": True}, "invert=true or false, beside masks="),
        ({"images": "x", "masks": "y", "seed": 1}, "seed= beside hole=.*seed=1"),
        ({"images": "x", "hole": "center", "seed": -1}, "`seed` must be an integer.*seed=-1"),
        ({"seeds": "[0,1]"}, "takes no noise.*seeds=\\[0, 1\\]"),
        ({"images": "x", "hole": "center"}, "images=FILE or FOLDER.*images=x, not there"),
    ],
)  # fmt: skip
def test_settings_that_do_not_go_together(opened, tmp_path, settings, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        repaired(opened, tmp_path, **settings)
    assert not any(tmp_path.iterdir())


def test_refused_settings_leave_nothing_behind(run, tmp_path):
    with pytest.raises(ValueError, match="sampled by 'masked_image', with the settings images,"):
        sampling.sample(composed(run, tmp_path, labels="maps"))
    with pytest.raises(ValueError, match="Expected images= beside"):
        sampling.sample(composed(run, "null", hole="center"))
    assert not [path for path in (run / "samples").iterdir() if path.is_dir()]


def test_what_is_wrong_with_which_files(opened, folders, tmp_path):
    images, masks = folders

    def refused(message, error=ValueError, **settings):
        settings = {"images": images, "masks": masks} | settings
        with pytest.raises(error, match=message):
            repaired(opened, settings.pop("out", tmp_path / "out"), **settings)
        assert not (tmp_path / "out").exists()

    empty = tmp_path / "empty"
    empty.mkdir()
    refused("images=FILE or FOLDER.*a folder without any", FileNotFoundError, images=empty)
    refused("masks=FILE or FOLDER.*a folder without any", FileNotFoundError, masks=empty)
    refused("the same folder", masks=images)
    refused("replace nothing that is read.*masks/.*png. Choose another out", out=masks)
    (masks / "rgb.png").rename(masks / "other.png")
    refused(r"1 images without a mask \['rgb'\], 1 masks without an image \['other'\]")
    (masks / "other.png").rename(masks / "rgb.png")
    save(masks / "rgb.png", mask(37, 50))
    refused("rgb.png: the mask is 37x50 .*image rgb 37x51", images=images / "rgb.jpg")
    save(masks / "rgb.png", np.ones((37, 51), np.uint8))
    save(masks / "bmp.png", np.full((37, 51), 255, np.uint8))
    (images / "tiny.webp").write_bytes(b"no image")
    refused(r"(?s)bmp.png: the mask has no known pixel.*rgb.png: the mask has no missing pixel at "
            r"37x51.*1\.\.1.*saved as 0 and 255.*tiny.webp: not an image file")  # fmt: skip
    (masks / "tiny.png").write_bytes(b"no image")
    save(images / "tiny.bmp", random_image(3, 1))
    refused("different names in images=.*tiny.bmp and .*tiny.webp")
    one = save(tmp_path / "one/x.png", random_image(1, 1))  # as in "1x1"
    refused("one/x.png: A hole leaves known pixels", images=one, masks="null", hole="strokes")
    dark = save(tmp_path / "dark.png", np.zeros((8, 8), np.uint8))
    refused(r"^(?!(?s:.*no missing pixel){2}).*no missing pixel", images=masks, masks=dark)
    sheet = save(tmp_path / "one/sheet.jpg", random_image(8, 8))
    refused("two for .*sheet.png", images=sheet, masks="null", hole="center")


def test_layouts_of_a_generator_without_them_are_refused(opened, folders, tmp_path, monkeypatch):
    images, masks = folders
    generate = opened.task.generate

    def without(batch, seeds):
        return {key: x for key, x in generate(batch, seeds).items() if key != "layout"}

    monkeypatch.setattr(opened.task, "generate", without)
    with pytest.raises(ValueError, match="attentive normalisation. Received: layouts=true for Inp"):
        repaired(opened, tmp_path / "out", images=images, masks=masks, layouts=True)


def test_many_sizes_draw_no_warning(opened, tmp_path, caplog):
    for side in range(8, 57, 8):
        save(tmp_path / f"many/{side}.png", random_image(side, 8))
    with caplog.at_level(logging.WARNING):
        assert len(repaired(opened, tmp_path / "out", images=tmp_path / "many", hole="center")) == 8
    assert not caplog.records


def test_large_photographs_go_in_smaller_batches(opened, folders, tmp_path, monkeypatch):
    assert photographs.items_at_once(8, (32, 32), (64, 64)) == 8
    assert photographs.items_at_once(8, (128, 128), (64, 64)) == 2
    assert photographs.items_at_once(8, (1024, 768), (64, 64)) == 1

    def exhausted(inputs, seeds):
        raise tf.errors.ResourceExhaustedError(None, None, "no memory")

    monkeypatch.setattr(any_size, "compiled_for", lambda *_: exhausted)
    images, masks = folders
    with pytest.raises(ValueError, match="hold 1 of 40x56 pixels.*batch_size=2, rgb. Use batch"):
        repaired(opened, tmp_path, images=images / "rgb.jpg", masks=masks, batch_size=2)
