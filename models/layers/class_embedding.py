"""A vector for each class, shared by all layers of a generator."""

import keras

from models.layers import batch_normalization


@keras.saving.register_keras_serializable(package="tessera")
class ClassEmbedding(keras.layers.Layer):
    """Looks up the vector of a class.

    Args:
        num_classes: int >= 1.
        units: int >= 2, length of the vectors, default 128.
        split_noise: bool, default True; read by the generator: whether every block gets a part of
            the noise of its own, joined with the vector.

    Call arguments:
        labels: int [B] or [B, 1], class ids; see `batch_normalization.rows` for others.

    Returns:
        float [B, units] in the compute dtype.

    Raises:
        ValueError: no class; fewer than two units.

    Source: Brock, Donahue, Simonyan, arXiv 1809.11096, section 3.1 and appendix B (orthogonal
    initialisation).
    """

    configurable = True

    def __init__(self, num_classes, units=128, *, split_noise=True, **kwargs) -> None:
        super().__init__(**kwargs)
        if num_classes < 1 or units < 2:
            raise ValueError(
                "Expected at least one class and two units. Received: "
                f"num_classes={num_classes}, units={units}. BigGAN uses 128 units."
            )
        self.num_classes = num_classes
        self.units = units
        self.split_noise = split_noise

    def build(self, labels_shape) -> None:
        self.table = self.add_weight(
            shape=(self.num_classes, self.units), initializer="orthogonal", name="table"
        )
        self.built = True

    def call(self, labels) -> keras.KerasTensor:
        table = keras.ops.cast(self.table, self.compute_dtype)
        return batch_normalization.rows(table, labels)
