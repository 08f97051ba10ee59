"""A network small enough to be followed by hand: the class of each pixel from its colour."""

import keras

CLASSES = 3


class PixelNetwork(keras.Model):
    """Logits of each pixel from its colour, with a penalty of its own."""

    input_keys = ("image",)

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = keras.layers.Dense(CLASSES, kernel_regularizer=keras.regularizers.L2(0.01))

    def build(self, input_shape):
        self.dense.build(input_shape["image"])
        self.built = True

    def call(self, inputs, training=False):
        return {"logits": self.dense(inputs["image"])}

    def get_config(self):
        return {}
