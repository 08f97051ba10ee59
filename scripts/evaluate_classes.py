"""Class accuracy: does a classifier see the class in generated images, and in real ones?"""

import numpy as np

from scripts import classes, evaluation, sampling, trained_run

NAME = "class_accuracy"
SETTINGS = ("classifier", "seed")
DEFAULTS = {"num_images": 1000, "batch_size": 64}
TARGET = "label"
SEED_PURPOSE = 1


def evaluate(run, config) -> dict:
    """The figures of a run, judged by the classifier that the settings name; see `measure`.

    Raises:
        ValueError: a generator without a classifier.
    """
    if config.classifier is not None:
        judge = trained_run.open_run(
            config.classifier, data_root=config.data_root, device=config.device
        )
        return measure(run, judge, config)
    if hasattr(run.task, "generator"):
        raise ValueError(
            "Expected the run of a classifier that judges the images of a generator. Received: "
            f"run={config.run} and no classifier. Add classifier=RUN, trained on the same "
            "data, such as by python train.py experiment=classify_synthetic"
        )
    return measure(run, None, config)


def measure(run, judge, config) -> dict:
    """The figures, with the passport of what they were measured on.

    Args:
        run: TrainedRun, of a class-conditional generator or of a classifier.
        judge: TrainedRun of the classifier that judges the generator; None for a classifier.
        config: settings of configs/evaluate.yaml.

    Returns:
        {"metric", "class_names", "chance", "real", "generated" (with a judge), "passport"}; "real"
        and "generated" as `accuracy_of`.

    Raises:
        ValueError: runs that do not go together, fewer images than classes, other classes of the
            data than of the run.
        KeyError: the data of the classifier have no such split.
    """
    classifier = judge or run
    check_classifier(classifier)
    if judge is not None:
        check_pair(run, judge)
        check_num_images(config.num_images, run.label_names)
    classes.check(classifier.folder, classifier.data.label_names)
    real = accuracy_of(real_batches(classifier, config.split, config.batch_size), classifier)
    report = {
        "metric": NAME,
        "class_names": list(classifier.label_names),
        "chance": 1.0 / len(classifier.label_names),
        "real": real,
    }
    facts = {"split": config.split, "n_real": real["count"]}
    if judge is not None:
        made = generated_batches(run, config.num_images, config.seed, config.batch_size)
        report["generated"] = accuracy_of(made, judge)
        facts |= {"generator": evaluation.passport(run), "seed": config.seed}
        facts["n_fake"] = report["generated"]["count"]
    facts |= {"classifier": evaluation.passport(classifier), "versions": evaluation.versions()}
    return report | {"passport": facts}


def check_classifier(run) -> None:
    """Raises ValueError where a run does not tell classes of images."""
    if getattr(run.task, "target", None) != TARGET:
        raise ValueError(
            "Expected a run of a classifier of images. Received: "
            f"{run.folder.path} of {type(run.task).__name__}. Train one on the same data, such as "
            "python train.py experiment=classify_synthetic, and give it as classifier=RUN."
        )


def check_pair(run, judge) -> None:
    """Raises ValueError where a classifier cannot judge the images of a run."""
    generator = getattr(run.task, "generator", None)
    if generator is None:
        raise ValueError(
            "Expected a run of a generator for the classifier to judge. Received: "
            f"run={run.folder.path} of {type(run.task).__name__}. Leave classifier out to measure "
            "a classifier by itself."
        )
    if TARGET not in generator.input_keys:
        raise ValueError(
            "Expected a generator of images by class. Received: "
            f"run={run.folder.path} of {type(generator).__name__}, which reads "
            f"{tuple(generator.input_keys)}. Choose a class-conditional run."
        )
    sizes = [tuple(item.data.image_size) for item in (run, judge)]
    if sizes[0] != sizes[1]:
        raise ValueError(
            "Expected a classifier of images of the size that the run generates. Received: "
            f"{run.folder.path} of {sizes[0]} (height, width), {judge.folder.path} of {sizes[1]}. "
            f"Train a classifier with data.image_size={list(sizes[0])}."
        )
    if run.label_names != judge.label_names:
        raise ValueError(
            "Expected a classifier of the classes of the run, in their order. Received: "
            f"{run.folder.path} with {classes.first(run.label_names)}; {judge.folder.path} with "
            f"{classes.first(judge.label_names)}. Train a classifier on the data of the run."
        )


def check_num_images(num_images, names) -> None:
    """Raises ValueError where there is not an image for each class."""
    if num_images < len(names):
        raise ValueError(
            f"Expected at least one image for each of the {len(names)} classes. Received: "
            f"num_images={num_images}."
        )


def real_batches(run, split, batch_size):
    """Yields (labels, images as the network reads them) of a split of the run's data."""
    for batch in run.data.evaluation_dataset(split, batch_size):
        batch = run.data.finish(batch)
        valid = batch["valid"].numpy()
        yield batch[TARGET].numpy()[valid], batch["image"].numpy()[valid]


def generated_batches(run, num_images, seed, batch_size):
    """Yields (labels, uint8 images): as many of each class, up to one, each of its own noise."""
    import tensorflow as tf

    from training import contact_sheet

    labels = np.arange(num_images, dtype=np.int32) % len(run.label_names)
    seeds = tf.random.stateless_uniform(
        [num_images], [seed, SEED_PURPOSE], minval=None, maxval=None, dtype=tf.int32
    ).numpy()
    made = sampling.batches(
        run, lambda part: {TARGET: labels[part]}, seeds, batch_size, title="Generating"
    )
    for part, outputs in made:
        yield labels[part], contact_sheet.to_uint8(outputs["image"])


def accuracy_of(batches, run: trained_run.TrainedRun) -> dict:
    """Figures of a classifier over (labels, images); uint8 images are scaled.

    Returns:
        {"count", "accuracy", "count_per_class" [K], "accuracy_per_class" [K], "confusion" [K, K]
        with a row for each true class}; NaN is the accuracy of a class without images.
    """
    import tensorflow as tf

    from metrics import accuracy

    metric = accuracy.ClassAccuracy(len(run.label_names))
    for labels, images in batches:
        batch = run.data.finish({"image": tf.constant(images)})
        made = run.generate(batch, tf.zeros([len(images)], tf.int32))
        metric.update_state({"label": labels}, {"prediction": made["prediction"].numpy()})
    total, *of_each = metric.result().values()
    per_class = metric.confusion().sum(axis=1)
    return {
        "count": int(per_class.sum()),
        "accuracy": total,
        "count_per_class": per_class,
        "accuracy_per_class": np.array(of_each),
        "confusion": metric.confusion(),
    }


def table(report: dict) -> str:
    """The figures for people: a row for each class, and one for all."""
    columns = {name: report[name] for name in ("generated", "real") if name in report}
    split = report["passport"]["split"]
    header = ["class"]
    for name in columns:
        header += [f"real ({split})" if name == "real" else name, "images"]
    rows = []
    for index, title in enumerate(report["class_names"]):
        row = [title]
        for of in columns.values():
            share, count = of["accuracy_per_class"][index], of["count_per_class"][index]
            row += [f"{share:.3f}" if count else "-", str(count)]
        rows.append(row)
    total = ["all"]
    for of in columns.values():
        total += [f"{of['accuracy']:.3f}", str(of["count"])]
    text = evaluation.table(header, [*rows, total])
    return f"{text}\nChance: {report['chance']:.3f}"
