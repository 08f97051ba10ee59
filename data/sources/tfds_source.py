"""Any image data set of TensorFlow Datasets by name: classes of images, label maps, or both."""

import json
import os
import re
from functools import cached_property
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from data import files, pipeline
from data.sources import folder_source, tfds_records

READERS = {"tfrecord": tfds_records.TfRecordReader, "array_record": tfds_records.ArrayRecordReader}
FEATURES = "tensorflow_datasets.core.features."
# Without a namespace, "huggingface:x": tfds would fetch code of that name and run it.
NAME = re.compile(r"\w+(/[\w.+-]+)*(:\d[\d.*]*)?")
DEFAULT_SPLITS = {"train": "train[:90%]", "validation": "train[90%:]"}


class TfdsPipeline(pipeline.ImagePipeline):
    """An ImagePipeline; `download` is there for the config of its source to refer to."""

    configurable = True

    def __init__(self, source, image_size, *, download=False, **settings) -> None:
        super().__init__(source, image_size, **settings)
        self.download = download


class TfdsSource(folder_source.Source):
    """Images of a prepared tfds data set, in the order of its files, each readable by itself.

    Images are not decoded by tfds: their stored bytes go the way of files, through the same check,
    decoding, caches and order. Nothing is downloaded unless `download` is true.

    Args:
        name: "cifar10", "name/config" or "name:1.2.0".
        splits: {split: tfds split}, such as {"train": "train[:90%]"}. Default: 90% and 10% of
            the tfds split "train" as train and validation.
        data_dir: folder that holds prepared data sets. Default: $TFDS_DATA_DIR or
            ~/tensorflow_datasets.
        manual_dir: folder with files fetched by hand, for data sets that ask for it.
        image_key: feature with the photograph. Default "image".
        label_key: feature with the class of the image, or None. Default "label".
        label_map_key: feature with the label map (an image of one channel), or None. Default None.
        download: bool. True downloads and prepares what is missing. Default False.

    Raises ValueError for another name, and (at the first look at the data, not in the constructor):
        FileNotFoundError: the data set is not prepared; the message says how to get it.
        KeyError: an unknown split or feature.
        ValueError: a feature of another kind, splits that overlap or are empty, broken files.
    """

    configurable = True

    def __init__(
        self, name, *, splits=None, data_dir=None, manual_dir=None, image_key="image",
        label_key="label", label_map_key=None, download=False,
    ) -> None:  # fmt: skip
        if not NAME.fullmatch(str(name)):
            raise ValueError(
                'Expected a data set of tfds itself, "name", "name/config" or "name:1.2.0". '
                f"Received: data.source.name={name!r}. Prepare others by their own code, and give "
                "data.root and the name without a namespace."
            )
        self.name = name
        self.splits_by = dict(DEFAULT_SPLITS if splits is None else splits)
        self.data_dir = data_dir
        self.manual_dir = manual_dir
        self.image_key = image_key
        self.label_key = label_key
        self.label_map_key = label_map_key
        self.download = download
        if "train" not in self.splits_by:
            raise ValueError(
                f"`splits` says which examples are the split 'train'. Received: "
                f"splits={self.splits_by}. For instance "
                f'\'data.source.splits={{train: "train[:90%]", validation: "train[90%:]"}}\''
            )

    @property
    def root(self) -> str:
        """Folder of the data set, where caches are kept."""
        return os.path.join(self._folder, self.name.partition(":")[0])

    @cached_property
    def image_class_names(self) -> tuple[str, ...]:
        """Classes of whole images; the position is the id."""
        if self.label_key is None:
            return ()
        return tuple(self._feature("label_key", tfds.features.ClassLabel, "a class label").names)

    def contents(self, split) -> tfds_records.PackedRecords:
        return self.records(split)

    def _advice_for(self, split) -> str:
        return (
            f". Say which examples it means: '+data.source.splits.{split}=test' (tfds splits of "
            f"{self.name}: {sorted(self._builder.info.splits)})"
        )

    @property
    def _folder(self) -> str:
        default = os.environ.get("TFDS_DATA_DIR", os.path.join("~", "tensorflow_datasets"))
        return os.path.expanduser(self.data_dir or default)

    @cached_property
    def _builder(self) -> tfds.core.DatasetBuilder:
        name = self.name.partition(":")[0].partition("/")[0]
        for path in Path(self._folder, name).rglob("features.json"):
            _check_features_file(path)
        try:  # By its files alone: neither the code of the data set nor a network is needed.
            return tfds.core.read_only_builder.builder_from_files(self.name, data_dir=self._folder)
        except tfds.core.DatasetNotFoundError:
            pass
        builder = self._builder_from_code()
        if not builder.is_prepared():
            self._prepare(builder)
        return builder

    def _builder_from_code(self) -> tfds.core.DatasetBuilder:
        try:
            return tfds.builder(self.name, data_dir=self._folder)
        except (tfds.core.DatasetNotFoundError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            raise FileNotFoundError(
                f"There is no prepared data set of this name and tfds does not know how to make "
                f"it ({reason}). Received: name={self.name!r}, data_dir={self._folder}. Correct "
                f"data.source.name, or set data.root to the folder that holds it. All names: "
                f"https://www.tensorflow.org/datasets/catalog/overview"
            ) from None

    def _prepare(self, builder) -> None:
        by_hand = builder.MANUAL_DOWNLOAD_INSTRUCTIONS
        manual = " manual_dir=FOLDER" if by_hand and not self.manual_dir else ""
        if not self.download or manual:
            command = f"tfds build {self.name} --data_dir={self._folder}"
            command += f" --manual_dir={self.manual_dir or 'FOLDER'}" if by_hand else ""
            option = "data.download=true" + (f" data.source.{manual[1:]}" if manual else "")
            hint = " ".join((by_hand or "").split())
            size = builder.info.download_size
            raise FileNotFoundError(
                f"The data set is not prepared. Received: name={self.name!r}, "
                f"data_dir={self._folder}, download={self.download}. To "
                f"download and prepare it{f' ({size})' if size else ''}, add {option} to the "
                f"command or run `{command}`. If it lies elsewhere, set data.root. {hint}".rstrip()
            )
        config = tfds.download.DownloadConfig(manual_dir=self.manual_dir)
        builder.download_and_prepare(download_config=config)

    @cached_property
    def _records(self) -> dict[str, tfds_records.PackedRecords]:
        info = self._builder.info
        keys = {"photo": self.image_key, "label_map": self.label_map_key, "label": self.label_key}
        self._check_features()
        reader = READERS.get(info.file_format.value)
        if reader is None:
            raise ValueError(
                f"Data sets are read from files of the formats {sorted(READERS)}. Received: "
                f"{info.full_name} in '{info.file_format.value}'. Prepare it again: "
                f"tfds build {self.name} --data_dir={self._folder} --file_format=array_record"
            )
        instructions = {s: self._instructions(s, part) for s, part in self.splits_by.items()}
        self._refuse_overlap(instructions)
        return {
            split: tfds_records.PackedRecords(split, reader(parts), info.features, keys)
            for split, parts in instructions.items()
        }

    def _instructions(self, split, part) -> dict:
        available = self._builder.info.splits
        try:
            found = available[part].file_instructions
        except (KeyError, ValueError) as error:
            raise KeyError(
                f"tfds does not understand what split '{split}' is ({error}). Received: "
                f"data.source.splits.{split}={part!r}; splits of {self.name}: {sorted(available)}, "
                f"parts of them 'train[:90%]' or 'train[1000:]'"
            ) from None
        if not any(instruction.take for instruction in found):
            raise ValueError(
                f"Split '{split}' is empty. Received: data.source.splits.{split}={part!r} of "
                f"{ {name: info.num_examples for name, info in available.items()} }"
            )
        return found

    def _refuse_overlap(self, instructions) -> None:
        taken = {}
        for split, parts in instructions.items():
            for part in parts:
                start, end = part.skip, part.skip + part.take
                for other, first, last in taken.get(part.filename, ()):
                    if other != split and start < last and first < end:
                        raise ValueError(
                            f"The splits '{other}' and '{split}' share examples. Received: "
                            f"data.source.splits={self.splits_by}. Cut them apart, like "
                            f"train[:90%] and train[90%:]"
                        )
                taken.setdefault(part.filename, []).append((split, start, end))

    def _check_features(self) -> None:
        for setting, channels in {"image_key": (1, 3), "label_map_key": (1,)}.items():
            if getattr(self, setting) is None and setting == "label_map_key":
                continue
            what = f"an 8-bit image of {' or '.join(map(str, channels))} channels"
            self._feature(setting, tfds.features.Image, what, channels)
        if self.label_key is not None:
            self._feature("label_key", tfds.features.ClassLabel, "a class label")

    def _feature(self, setting, kind, what, channels=None) -> tfds.features.FeatureConnector:
        features = self._builder.info.features
        name = getattr(self, setting)
        if name not in features:
            raise KeyError(
                f"The data set {self._builder.info.full_name} has no such feature. Received: "
                f"data.source.{setting}={name!r}; there are {sorted(features)}"
            )
        feature = features[name]
        fits = isinstance(feature, kind)
        if fits and channels is not None:
            fits = feature.shape[-1] in channels and np.dtype(feature.np_dtype) == np.uint8
        if not fits:
            raise ValueError(
                f"The feature must be {what}. Received: data.source.{setting}={name!r}, which is "
                f"{feature!r} in {self._builder.info.full_name}"
            )
        return feature


def _check_features_file(path) -> None:
    """Raises ValueError unless all classes it names are those of tfds: tfds imports any module."""
    try:
        places = [json.loads(files.read_bytes(path, "file of features"))]
        for place in places:  # Which grows by what lies inside.
            inner = place.items() if isinstance(place, dict) else enumerate(place)
            for key, value in inner:
                if isinstance(value, (dict, list)):
                    places.append(value)
                named = key in ("pythonClassName", "python_class_name", "type")
                foreign = named and "." in str(value) and not str(value).startswith(FEATURES)
                if foreign:
                    raise ValueError(f"it names the class {value}, which is not of {FEATURES}*")
    except (ValueError, RecursionError, TypeError) as error:
        raise ValueError(
            f"{path}: not the features of a data set of tfds alone: {error}. Do not use data that "
            "you do not trust"
        ) from None
