"""Labelling photographs: values, sizes and names of the maps, a data set that trains, refusals."""

import shlex

import hydra
import numpy as np
import pytest
import tensorflow as tf
from omegaconf import OmegaConf
from PIL import Image

from data import transforms
from scripts.command import overrides
from scripts.sampling import photographs, sampling
from tests.helpers import saved_run, tiny
from training.kinds import segmentation
from training.runs import run_config, trained_run

RNG = np.random.default_rng(7)
SIZE, CLASSES = tiny.SIZE, 12
SEGMENTER = [*tiny.SEGMENTER_OVERRIDES, "data.encoding.ignore_index=255"]
SIZES = {"wide": (37, 90), "deep/square": (64, 64), "deep/tiny": (5, 3), "exact": (SIZE, SIZE)}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny.data_overrides(tiny.write_data(tmp_path_factory.mktemp("data") / "facades"))


@pytest.fixture(scope="module")
def run(tmp_path_factory, data):
    """Shown at the image size."""
    folder = tmp_path_factory.mktemp("segmenter") / "run"
    return saved_run.saved(folder, *SEGMENTER, *data, "data.resize.load_size=null")


@pytest.fixture(scope="module")
def used(run):
    """The same run, opened once."""
    return trained_run.open_run(run)


def save(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def random_image(height, width):
    return RNG.integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture
def mine(tmp_path):
    """A folder with photographs of several sizes and formats."""
    suffixes = dict(zip(SIZES, (".jpg", ".png", ".webp", ".png"), strict=True))
    for name, size in SIZES.items():
        save(tmp_path / "mine/photos" / f"{name}{suffixes[name]}", random_image(*size))
    return tmp_path / "mine"


def labelled(used, out, **settings):
    """Labels photographs; returns {name of map: opened image}."""
    config = composed("any", out, **settings)
    text = photographs.sample(used, config, out)
    names = sorted((out / "labels").rglob("*.bmp"))
    assert int(text.split()[0]) <= len(names)
    return {str(p.relative_to(out / "labels").with_suffix("")): opened(p) for p in names}


def composed(run, out, **settings):
    overrides = [f"run={run}", f"out={out}", *(f"{k}={v}" for k, v in settings.items())]
    return saved_run.compose("sample", *overrides)


def opened(path):
    image = Image.open(path)
    image.load()  # and closes the file
    return image


def test_maps_pair_up_with_their_photographs_and_train(run, mine):
    """By the command's own code; the printed command finds a data set that its check accepts."""
    for index in range(36):
        save(mine / f"photos/more/{index}.png", random_image(8, 8))
    text = sampling.sample(composed(run, mine, images=mine / "photos", batch_size=2))
    assert sorted(p.name for p in mine.iterdir()) == ["labels", "photos", "sheet.png"]
    config = OmegaConf.load(run / ".hydra" / "config.yaml")
    for name, (height, width) in SIZES.items():
        image = opened(mine / f"labels/{name}.bmp")
        assert (image.format, image.mode, image.size) == ("BMP", "P", (width, height))
        stored = np.array(image.getpalette(), np.uint8).reshape(-1, 3)[:CLASSES]
        np.testing.assert_array_equal(stored, config.data.encoding.class_colors)
    sheet = np.asarray(Image.open(mine / "sheet.png"))
    assert sheet.shape[1] == 84 + 3 * (64 + 2) - 2 and sheet.std() > 10
    first, command = text.splitlines()
    assert first == f"40 label maps of step 2 in {mine / 'labels'}, sheet {mine}/sheet.png"
    words = words_of(command)
    assert words == ["experiment=spade_facades_small", "data=paired_folders",
                     f"data.root={mine}", f"data.encoding.num_classes={CLASSES}"]  # fmt: skip
    report = checked(words)
    assert report.files == 40
    assert report.pixels.sum() == sum(h * w for h, w in SIZES.values()) + 36 * 64
    assert len(report.values) > 2  # untrained, but not one answer to everything


def words_of(command):
    return shlex.split(command.removeprefix("To train on them: python train.py "))


def checked(words):
    """LabelReport of the data that these overrides of train.py name."""
    config = saved_run.compose("train", *words)
    run_config.check_keys(config, "train")
    return hydra.utils.instantiate(config.data, _convert_="all").check()


def test_photographs_elsewhere_are_named_in_the_command(used, tmp_path):
    photos = tmp_path / "it's, all"
    for split in ("train", "validation"):
        save(photos / f"{split}/x.png", random_image(8, 8))
    out = tmp_path / "out"
    config = saved_run.compose("sample", "run=any", f"images={overrides.quoted(photos)}")
    first, command = photographs.sample(used, config, out).splitlines()
    assert first.startswith("2 label maps")
    words = words_of(command)
    assert "data/splits=folders" in words and f"data.root={out}" in words
    assert checked(words).files == 2
    config.count = 1
    assert "train.py" not in photographs.sentence(used, config, out, 1)


def test_values_are_those_of_the_network(used, mine, tmp_path):
    maps = labelled(used, tmp_path / "out", images=mine / "photos")
    network = next(iter(used.task.generation_state().values()))

    def logits(image):
        scaled = (np.float32(image) / 127.5 - 1.0)[None]
        return network({"image": scaled}, training=False)["logits"].numpy()[0]

    exact = np.asarray(Image.open(mine / "photos/exact.png"))
    expected = logits(exact).argmax(-1)
    assert len(np.unique(expected)) > 1
    np.testing.assert_array_equal(np.asarray(maps["exact"]), expected)
    # Twice the side: antialiased to the image size, and the logits enlarged by two by hand.
    square = np.asarray(Image.open(mine / "photos/deep/square.png"))
    small = Image.fromarray(square).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    enlarged = doubled(doubled(logits(small)).swapaxes(0, 1)).swapaxes(0, 1)
    same = np.asarray(maps["deep/square"]) == enlarged.argmax(-1)
    assert same.mean() > 0.98  # Pillow rounds between its two passes


def doubled(x):
    """Twice the rows, bilinearly: 3/4 of the nearest and 1/4 of the next, the border repeated."""
    before, after = np.concatenate([x[:1], x[:-1]]), np.concatenate([x[1:], x[-1:]])
    return np.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], 1).reshape(
        -1, *x.shape[1:]
    )


def test_most_probable_class_of_enlarged_logits():
    logits = RNG.normal(size=(4, 6, 5)).astype(np.float32) - 3.0  # all below zero somewhere
    enlarged = doubled(doubled(logits).swapaxes(0, 1)).swapaxes(0, 1)
    found = segmentation.most_probable(tf.constant(logits), (8, 12))
    np.testing.assert_array_equal(found, enlarged.argmax(-1))
    assert found.dtype == np.uint8


@pytest.mark.parametrize(
    ("keep", "size", "expected"),
    [
        (False, (500, 300), (72, 72)),  # stretched, as in training
        (False, (10, 900), (72, 72)),
        (True, (144, 144), (72, 72)),
        (True, (144, 288), (72, 144)),  # the window of 72 x 72 is cut from its middle
        (True, (300, 144), (152, 72)),  # 150, to the nearest multiple of 8
        (True, (36, 40), (72, 80)),
    ],
)
def test_the_whole_photograph_at_the_scale_of_training(keep, size, expected):
    resize = transforms.Resize(keep_aspect_ratio=keep)
    assert resize.whole_size(size, (72, 72), 8) == expected
    shown = resize.whole_photo(tf.constant(random_image(*size)), expected)
    assert shown.shape == (*expected, 3)


def test_the_load_size_is_brought_to_the_output_stride(tmp_path, data):
    folder = saved_run.saved(
        tmp_path / "run", *SEGMENTER, *data, "data.resize.load_size=[45,35]",
        "data.resize.keep_aspect_ratio=true",
    )  # fmt: skip
    used = trained_run.open_run(folder)
    # The window of 90 x 70 becomes 45 x 35: half the size, 45 x 70, nearest multiples of 8.
    assert segmentation.Segmentation().working_size(used, (90, 140)) == (48, 72)
    save(tmp_path / "x.png", random_image(90, 140))
    maps = labelled(used, tmp_path / "out", images=tmp_path / "x.png")
    assert maps["x"].size == (140, 90)


def test_validation_split_with_its_true_maps(used, tmp_path):
    maps = labelled(used, tmp_path, count=3)
    names, batch = used.data.examples("validation", 3)
    expected = used.generate(
        {"image": batch["image"]}, tf.zeros([3], tf.int32)
    )["prediction"].numpy()  # fmt: skip
    assert sorted(maps) == sorted(names)
    for name, ids in zip(names, expected, strict=True):
        np.testing.assert_array_equal(np.asarray(maps[name]), ids)
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape[1] == 84 + 4 * (SIZE + 2) - 2


def test_rows_of_the_sheet(used):
    image, ids = random_image(4, 6), RNG.integers(0, CLASSES, (4, 6), np.uint8)
    item, made = {"image": image, "label_map": ids[::-1]}, {"label_map": ids}
    columns = segmentation.Segmentation().columns(used, item, made)
    assert list(columns) == ["photograph", "true", "label map", "overlay"]
    colours = np.array(used.config.data.encoding.class_colors)
    np.testing.assert_array_equal(columns["true"], colours[ids[::-1]])
    mean = (image.astype(float) + colours[ids]) / 2
    np.testing.assert_allclose(columns["overlay"], mean, atol=0.5)


def test_a_second_time_adds_what_is_not_there(used, mine):
    photos = mine / "photos"
    labelled(used, mine, images=photos)
    save(photos / "new.png", random_image(9, 9))
    before = (mine / "labels/exact.bmp").read_bytes()
    with pytest.raises(ValueError, match="none is overwritten.*labels/deep/square.bmp. Choose an"):
        labelled(used, mine, images=photos)
    assert not (mine / "labels/new.bmp").exists()
    maps = labelled(used, mine, images=photos / "new.png")
    assert len(maps) == 5 and (mine / "labels/exact.bmp").read_bytes() == before
    (mine / "labels/new.bmp").rename(mine / "labels/new.png")  # two maps of a name
    with pytest.raises(ValueError, match="labels/new.png. Choose another out"):
        labelled(used, mine, images=photos / "new.png")


def test_settings_of_other_networks_are_refused(run, tmp_path):
    for setting, expected in (
        ({"masks": "x"}, "sampled by 'image', with the settings images, count. Received: masks=x"),
        ({"resize": True}, "sampled by 'image'.*Received: resize=True"),
    ):
        with pytest.raises(ValueError, match=expected):
            sampling.sample(composed(run, tmp_path, **setting))


def test_what_is_refused_before_anything_is_written(used, mine, tmp_path):
    out = tmp_path / "out"

    def refused(message, error=ValueError, **settings):
        with pytest.raises(error, match=message):
            labelled(used, settings.pop("out", out), **{"images": mine / "photos"} | settings)
        assert not out.exists() and not (mine / "labels").exists()

    refused("neither seeds= nor layouts=.*seeds=\\[0\\], layouts=False", seeds="[0]")
    refused("layouts=True. Leave them out", layouts="true")
    refused("images=FILE or FOLDER.*no, not there", FileNotFoundError, images=tmp_path / "no")
    sheet = save(mine / "sheet.png", random_image(8, 8))
    refused("replace nothing that is read.*sheet.png.*Choose another out, or rename", images=sheet,
            out=mine)  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = 3  # which a map made of it would not show
    save(mine / "photos/turned.jpg", random_image(8, 12), exif=exif)
    (mine / "photos/broken.png").write_bytes(b"no image")
    refused(r"(?s)broken.png: not an image file.*turned.jpg: stored rotated or mirrored \(EXIF")
    (mine / "photos/turned.png").write_bytes((mine / "photos/turned.jpg").read_bytes())
    refused("different names in images=.*turned.jpg and .*turned.png")


def test_the_default_folder_is_in_the_run(run, mine):
    config = saved_run.compose("sample", f"run={run}", f"images={mine / 'photos/exact.png'}")
    assert sampling.sample(config).startswith(f"1 label maps of step 2 in {run / 'samples'}")
    (made,) = (run / "samples").iterdir()
    assert sorted(p.name for p in made.iterdir()) == ["labels", "sheet.png"]
