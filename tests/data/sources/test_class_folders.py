"""Photographs in class folders: what is found, and what is refused."""

import pytest

from data.sources import class_folders, splits
from data.synthetic import synthetic_facades
from tests.helpers import batches, class_data


def names(source, split):
    return [record.name for record in source.records(split)]


@pytest.fixture
def root(tmp_path):
    return class_data.write_set(tmp_path / "set")


class TestLayouts:
    def test_split_folders(self, root):
        class_data.write(
            root, "train/dog/deep/er/y.webp", "train/.hidden/z.png", "train/dog/.z.png"
        )
        (root / "train/dog/notes.txt").write_text("no image")
        source = class_folders.ClassFolders(root)
        assert source.image_class_names == ("cat", "dog", "eel")
        assert source.splits == ("train", "validation")
        assert source.count("train") == 12 and source.contents("train") is None
        found = {record.name: record for record in source.records("train")}
        assert found["train/dog/deep/er/y"].label == 1 and found["train/eel/02"].label == 2
        assert found["train/eel/02"].photo == str(root / "train/eel/02.png")
        assert found["train/eel/02"].label_map is None
        assert names(source, "validation") == [f"validation/{c}/x" for c in ("cat", "dog", "eel")]

    @pytest.mark.parametrize("suffix", ["jpg", "JPEG", "png", "bmp", "webp"])
    def test_every_format(self, tmp_path, suffix):
        class_data.write(
            tmp_path, *(f"{s}/{c}/1.{suffix}" for s in ("train", "validation") for c in "ab")
        )
        pipe = class_data.make(tmp_path)
        assert pipe.check().files == 4
        (found,) = batches.take(pipe.training_dataset(global_batch_size=2), 1)
        assert sorted(found["label"]) == [0, 1]

    def test_without_a_validation_folder_a_share_of_train_is_taken(self, tmp_path):
        class_data.write(tmp_path, *(f"train/{i % 2}/{i:03d}.png" for i in range(60)))
        source = class_folders.ClassFolders(tmp_path)
        held_out = names(source, "validation")
        assert 0 < len(held_out) < 20 and source.count("train") + len(held_out) == 60
        expected = splits.HashedSplits({"validation": 0.1}).assign(
            sorted(names(source, "train") + held_out), ""
        )
        assert held_out == expected["validation"]
        class_data.write(tmp_path, "train/1/extra.png")
        assert set(held_out) <= set(names(class_folders.ClassFolders(tmp_path), "validation"))

    @pytest.mark.parametrize("layout", ["share of train", "hashed", "groups"])
    def test_a_class_of_one_image_is_trained_whatever_its_hash(self, tmp_path, layout):
        rule = {
            "share of train": splits.FolderSplits(validation_share=0.3),
            "hashed": splits.HashedSplits({"validation": 0.3}),
            "groups": splits.HashedSplits({"validation": 0.3}, r"(\d+)$"),
        }[layout]
        prefix = "train/" if layout == "share of train" else ""
        held_out = next(
            f"{i:03d}" for i in range(99)
            if splits.HashedSplits({"validation": 0.3}).split_of(
                f"{i:03d}" if layout == "groups" else f"{prefix}rare/{i:03d}") == "validation"
        )  # fmt: skip
        class_data.write(tmp_path, *(f"{prefix}{c}/{i:03d}.png" for c in "ab" for i in range(20)))
        before = names(class_folders.ClassFolders(tmp_path, splits=rule), "validation")
        class_data.write(tmp_path, f"{prefix}rare/{held_out}.png")
        source = class_folders.ClassFolders(tmp_path, splits=rule)
        assert f"{prefix}rare/{held_out}" in names(source, "train")
        moved = set(before) - set(names(source, "validation"))
        together = {f"{c}/{held_out}" for c in "ab"} if layout == "groups" else set()
        assert moved == together and moved <= set(names(source, "train"))
        assert source.count("train") + source.count("validation") == 41

    def test_validation_need_not_have_every_class(self, root, caplog):
        class_data.write(root, "train/rare/1.png")
        (root / "validation/rare").mkdir()
        source = class_folders.ClassFolders(root)
        assert source.image_class_names == ("cat", "dog", "eel", "rare")
        assert source.count("validation") == 3
        assert "validation/ has no images of the classes ['rare']" in caplog.text

    def test_no_split_folders(self, tmp_path):
        class_data.write(tmp_path, *(f"{c}/{i}.png" for c in "ab" for i in range(20)))
        with pytest.raises(ValueError, match="in a folder named after its class.*=hashed"):
            class_folders.ClassFolders(tmp_path).records("train")
        rule = splits.HashedSplits({"validation": 0.3})
        source = class_folders.ClassFolders(tmp_path, splits=rule)
        assert source.image_class_names == ("a", "b")
        assert source.count("train") + source.count("validation") == 40

    def test_lists(self, tmp_path):
        class_data.write(tmp_path, "a/1.png", "a/2.png", "b/3.png", "b/4.png")
        (tmp_path / "train.txt").write_text("b/4\na/1.png\n")
        (tmp_path / "validation.txt").write_text("a/2\n")
        rule = splits.ListSplits({"train": "train.txt", "validation": "validation.txt"})
        source = class_folders.ClassFolders(tmp_path, splits=rule)
        assert names(source, "train") == ["b/4", "a/1"]
        assert [record.label for record in source.records("train")] == [1, 0]

    def test_hashed_over_a_split_folder_says_what_to_do(self, tmp_path):
        class_data.write(tmp_path, *(f"train/{c}/{i}.png" for c in "ab" for i in range(20)))
        rule = splits.HashedSplits({"validation": 0.3})
        with pytest.raises(ValueError, match=r"named like splits.*\['train'\].*photos=train"):
            class_folders.ClassFolders(tmp_path, splits=rule).records("train")
        source = class_folders.ClassFolders(tmp_path, splits=rule, photos="train")
        assert source.image_class_names == ("a", "b") and source.count("validation") > 0

    def test_photographs_of_the_embedded_facades(self, tmp_path):
        synthetic_facades.ensure_written(
            tmp_path / "f", image_size=32, train_count=10, validation_count=5, processes=1
        )
        source = class_folders.ClassFolders(tmp_path / "f", photos="photos")
        assert source.image_class_names == tuple(sorted(synthetic_facades.STYLES))
        assert source.count("train") == 10 and source.count("validation") == 5

    def test_the_order_of_classes_can_be_given(self, root):
        source = class_folders.ClassFolders(root, class_order=["eel", "cat", "dog"])
        assert source.image_class_names == ("eel", "cat", "dog")
        assert {r.name: r.label for r in source.records("validation")} == {
            "validation/cat/x": 1, "validation/dog/x": 2, "validation/eel/x": 0}  # fmt: skip

    def test_names_that_differ_in_the_suffix_only(self, root):
        class_data.write(root, "train/cat/00.jpg")
        found = names(class_folders.ClassFolders(root), "train")
        assert {"train/cat/00.jpg", "train/cat/00.png", "train/dog/01"} <= set(found)


class TestRefusals:
    def test_missing_folders(self, root, tmp_path):
        with pytest.raises(
            FileNotFoundError, match="data.root -> .*nowhere. Expected: nowhere/tra"
        ):
            class_folders.ClassFolders(tmp_path / "nowhere").records("train")
        with pytest.raises(FileNotFoundError, match="data.source.photos -> .*pictures"):
            class_folders.ClassFolders(root, photos="pictures").records("train")

    def test_no_photographs(self, tmp_path):
        (tmp_path / "train/cat").mkdir(parents=True)
        with pytest.raises(ValueError, match="There are no photographs.*train/<class>/"):
            class_folders.ClassFolders(tmp_path).records("train")

    def test_photograph_outside_a_class(self, root):
        class_data.write(root, "train/lost.png")
        with pytest.raises(ValueError, match="named after its class: set/train/.*'train/lost'"):
            class_folders.ClassFolders(root).records("train")

    def test_empty_class_folder(self, root):
        for split in ("train", "validation"):
            (root / split / "fox").mkdir()
        with pytest.raises(ValueError, match=r"Received: empty \['train/fox', 'validation/fox'\]"):
            class_folders.ClassFolders(root).records("train")

    def test_class_in_one_split_only(self, root):
        class_data.write(root, "validation/Cat/1.png")
        with pytest.raises(
            ValueError, match=r"same class folders.*. Received: \['validation/Cat'\]"
        ):
            class_folders.ClassFolders(root).records("train")

    def test_class_without_training_images(self, tmp_path):
        class_data.write(tmp_path, "a/1.png", "b/2.png")
        (tmp_path / "train.txt").write_text("a/1")
        rule = splits.ListSplits({"train": "train.txt"})
        with pytest.raises(ValueError, match=r"needs images in the split 'train'.*\['b'\]"):
            class_folders.ClassFolders(tmp_path, splits=rule).records("train")

    @pytest.mark.parametrize(
        ("listed", "message"),
        [
            (["cat", "dog"], r"not listed: \['eel'\], listed without a folder: \[\]"),
            (["cat", "dog", "eel", "fox"], r"listed without a folder: \['fox'\]"),
            (["cat", "dog", "eel", "eel"], "lists every class folder once"),
        ],
    )
    def test_class_names(self, root, listed, message):
        with pytest.raises(ValueError, match=message):
            class_folders.ClassFolders(root, class_order=listed).records("train")

    def test_unknown_split(self, root):
        with pytest.raises(KeyError, match="no split 'test'.*share of the photographs"):
            class_folders.ClassFolders(root).records("test")

    def test_validation_share(self, tmp_path):
        with pytest.raises(ValueError, match="`validation_share` lies between 0 and 1"):
            splits.FolderSplits(validation_share=1)
        rule = splits.FolderSplits(validation_share=1e-9)
        with pytest.raises(ValueError, match="leaves 2 for training and 0 for validation"):
            rule.assign(["train/a/1", "train/a/2"], tmp_path)
