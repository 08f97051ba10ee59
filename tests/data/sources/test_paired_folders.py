"""Pairing by relative stem, and splits by folder, list and hash."""

import pytest

from data.sources import paired_folders, splits
from tests.helpers import image_files
from tests.helpers.image_files import touch


def both(root, *stems):
    touch(root, *(f"photos/{stem}.jpg" for stem in stems), *(f"labels/{s}.bmp" for s in stems))
    return root


def names(source, split):
    return [record.name for record in source.records(split)]


def test_pairs_by_relative_stem_in_every_folder(tmp_path):
    touch(tmp_path, "photos/train/b.JPG", "labels/train/b.bmp", "photos/train/deep/er/a.webp",
          "labels/train/deep/er/a.png", "photos/validation/c.v2.png", "labels/validation/c.v2.BMP",
          "photos/train/notes.txt", "photos/train/.hidden.jpg", "photos/.git/x.jpg")  # fmt: skip
    source = paired_folders.PairedFolders(tmp_path)
    assert source.splits == ("train", "validation") and source.count("train") == 2
    assert names(source, "train") == ["train/b", "train/deep/er/a"]
    record = source.records("validation")[0]
    assert record.name == "validation/c.v2" and record.label is None
    assert record.photo == str(tmp_path / "photos/validation/c.v2.png")
    assert record.label_map == str(tmp_path / "labels/validation/c.v2.BMP")
    assert source.image_class_names == ()


def test_class_folders(tmp_path):
    both(tmp_path, "train/zinc/1", "train/brick/2", "train/brick/sub/3", "validation/adobe/4")
    source = paired_folders.PairedFolders(tmp_path, class_folders=True)
    assert source.image_class_names == ("adobe", "brick", "zinc")
    assert {r.name: r.label for r in source.records("train")} == {
        "train/brick/2": 1, "train/brick/sub/3": 1, "train/zinc/1": 2}  # fmt: skip
    assert source.records("validation")[0].label == 0
    both(tmp_path, "train/5")
    with pytest.raises(ValueError, match="folder named after its class. Received: 'train/5'"):
        paired_folders.PairedFolders(tmp_path, class_folders=True).records("train")


def test_one_folder_for_both(tmp_path):
    touch(tmp_path, "base/1.jpg", "base/1.png", "base/2.jpg", "base/2.png", "base/1.xml")
    settings = {"photos": "base", "labels": "base", "splits": splits.HashedSplits({"test": 0.5})}
    with pytest.raises(ValueError, match="in one folder need different suffixes"):
        paired_folders.PairedFolders(tmp_path, **settings).records("train")
    source = paired_folders.PairedFolders(
        tmp_path, photo_suffixes=[".jpg"], label_suffixes=[".png"], **settings
    )
    assert len(source._paths) == 2


@pytest.mark.parametrize("missing", ["root", "photos", "labels"])
def test_missing_folders(tmp_path, missing):
    both(tmp_path, "train/1")
    root = tmp_path / "nowhere" if missing == "root" else tmp_path
    folders = {missing: "nowhere"} if missing != "root" else {}
    setting = "data.root" if missing == "root" else f"data.source.{missing}"
    source = paired_folders.PairedFolders(root, **folders)  # The files are looked at later.
    with pytest.raises(
        FileNotFoundError, match=f"does not exist. Received: {setting} -> .*nowhere"
    ):
        source.records("train")


def test_no_pairs_names_both_sides(tmp_path):
    touch(tmp_path, "photos/train/a.jpg", "labels/train/a_mask.png")
    with pytest.raises(ValueError, match="No photograph has a label map.*train/a.*train/a_mask"):
        paired_folders.PairedFolders(tmp_path).records("train")


def test_empty_folders(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "labels").mkdir()
    with pytest.raises(ValueError, match="No photograph has a label map.*0 photographs"):
        paired_folders.PairedFolders(tmp_path).records("train")


def test_one_orphan_is_named(tmp_path):
    both(tmp_path, "train/1", "train/2")
    touch(tmp_path, "photos/train/lonely.jpg")
    with pytest.raises(ValueError, match=r"1 photographs without a map \['train/lonely'\], 0 maps"):
        paired_folders.PairedFolders(tmp_path).records("train")


def test_many_orphans_are_counted(tmp_path):
    both(tmp_path, "train/1")
    touch(tmp_path, *(f"labels/train/x{i}.bmp" for i in range(9)))
    with pytest.raises(ValueError, match=r"0 photographs .* 9 maps .*'train/x4'\] \.\.\."):
        paired_folders.PairedFolders(tmp_path).records("train")


def test_two_files_of_one_stem(tmp_path):
    both(tmp_path, "train/1")
    touch(tmp_path, "labels/train/1.png")
    with pytest.raises(ValueError, match=r"Two label maps .*1.bmp and .*1.png.*label_suffixes"):
        paired_folders.PairedFolders(tmp_path).records("train")
    source = paired_folders.PairedFolders(tmp_path, label_suffixes=[".bmp"])
    assert source.count("train") == 1


def test_unknown_split(tmp_path):
    both(tmp_path, "train/1")
    with pytest.raises(KeyError, match="no split 'validation'. Received: .'train',."):
        paired_folders.PairedFolders(tmp_path).records("validation")


def test_folder_splits_with_other_names(tmp_path):
    both(tmp_path, "train/1", "val/2")
    with pytest.raises(ValueError, match="lies below one of the folders.*Received: 'val/2'"):
        paired_folders.PairedFolders(tmp_path).records("train")
    source = paired_folders.PairedFolders(tmp_path, splits=splits.FolderSplits(validation="val"))
    assert names(source, "validation") == ["val/2"]


def test_no_training_split(tmp_path):
    both(tmp_path, "validation/1")
    with pytest.raises(ValueError, match="nothing to train on: split 'train' is empty"):
        paired_folders.PairedFolders(tmp_path).records("validation")


def test_list_splits(tmp_path):
    both(tmp_path, "a/1", "a/2", "b/3", "b/4.5")
    (tmp_path / "train.txt").write_text("b/3\n# comment\n\na/1.jpg  # suffix is allowed\nb/4.5\n")
    (tmp_path / "validation.txt").write_text("a/2\n")
    rule = splits.ListSplits({"train": "train.txt", "validation": "validation.txt"})
    source = paired_folders.PairedFolders(tmp_path, splits=rule, class_folders=True)
    assert names(source, "train") == ["b/3", "a/1", "b/4.5"]
    assert names(source, "validation") == ["a/2"]
    assert source.image_class_names == ("a", "b")


@pytest.mark.parametrize(
    ("validation", "error", "message"),
    [
        (None, FileNotFoundError, "The list of split 'validation' is missing"),
        ("", ValueError, "must name items of this data set.*Received: no lines"),
        ("2\nnone\n", ValueError, r"Received: \['none'\] \(1 in all\)"),
        ("2\n1\n", ValueError, "'1' is listed twice, in 'train' and in 'validation'"),
    ],
)
def test_list_splits_complain(tmp_path, validation, error, message):
    both(tmp_path, "1", "2")
    (tmp_path / "train.txt").write_text("1\n")
    if validation is not None:
        (tmp_path / "validation.txt").write_text(validation)
    rule = splits.ListSplits({"train": "train.txt", "validation": "validation.txt"})
    with pytest.raises(error, match=message):
        paired_folders.PairedFolders(tmp_path, splits=rule).records("train")


def test_hashed_splits_are_stable_and_near_their_fractions():
    stems = [f"{i:04d}" for i in range(2000)]
    rule = splits.HashedSplits({"validation": 0.1, "test": 0.2})
    assigned = rule.assign(stems, "")
    assert sorted(sum(assigned.values(), [])) == stems
    # Three standard deviations of a binomial draw: 3 * sqrt(2000 * 0.1 * 0.9) = 40.
    assert abs(len(assigned["validation"]) - 200) < 40
    assert abs(len(assigned["test"]) - 400) < 54
    fewer = rule.assign(stems[::3], "")
    assert set(fewer["validation"]) == set(assigned["validation"]) & set(stems[::3])
    assert rule.assign(stems, "") == assigned
    other = splits.HashedSplits({"validation": 0.1, "test": 0.2}, seed=1).assign(stems, "")
    assert other["validation"] != assigned["validation"]
    # Frozen: a changed hash would move items between the splits of runs that users already have.
    assert assigned["validation"][:3] == FIRST_VALIDATION


FIRST_VALIDATION = ["0023", "0029", "0031"]


def test_groups_stay_together():
    stems = [f"shop_{i:04d}" for i in range(906)]
    rule = splits.HashedSplits(group_pattern=r"(\d+)$", group_modulo=300)
    split_of = {s: split for split, members in rule.assign(stems, "").items() for s in members}
    assert all(split_of[stems[i]] == split_of[stems[i % 300]] for i in range(906))
    by_prefix = splits.HashedSplits(group_pattern="^[a-z]+")
    assert by_prefix.group_of("shop_1") == by_prefix.group_of("shop_2") == "shop"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fractions": {"validation": 0}}, "shares between 0 and 1"),
        ({"fractions": {"validation": 0.5, "test": 0.5}}, "shares between 0 and 1"),
        ({"fractions": {"train": 0.5}}, "shares between 0 and 1"),
        ({"group_pattern": "("}, "not a regular expression"),
    ],
)
def test_hashed_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        splits.HashedSplits(**settings)


def test_hashed_splits_complain():
    with pytest.raises(ValueError, match="Split 'validation' is empty: 2 items in 1 groups"):
        splits.HashedSplits({"validation": 1e-6}, "^.").assign(["a1", "a2"], "")
    with pytest.raises(ValueError, match="must match every name.*name='abc'"):
        splits.HashedSplits(group_pattern=r"\d+").group_of("abc")
    with pytest.raises(ValueError, match="captures a number.*Received: 'abc'"):
        splits.HashedSplits(group_modulo=3).group_of("abc")


def test_written_pairs_are_found(tmp_path):
    image_files.write_folder(tmp_path, {"train": 3, "validation": 2}, styles=("a", "b"))
    source = paired_folders.PairedFolders(tmp_path, class_folders=True)
    assert source.count("train") == 3 and source.image_class_names == ("a", "b")
