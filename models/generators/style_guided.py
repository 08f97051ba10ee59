"""Generator whose noise is drawn around the style of an image."""

import keras
from keras import ops

from models.layers import settings


@keras.saving.register_keras_serializable(package="tessera")
class StyleGuidedGenerator(settings.FromSettings, keras.Model):
    """A noise-mode generator and a style encoder, trained together as a variational auto-encoder.

        training:   z = mean + exp(0.5 * log_variance) * noise, both read from "image"
        inference:  z = mean of "style_image" if that is given, else z = noise; "image" is not read

    Args:
        generator: keras.Model taking "mask" and "noise", with a `noise_dim`.
        encoder: keras.Model, {"image"} -> {"mean", "log_variance"}, with the same `noise_dim`.

    Call arguments:
        inputs: dict of "mask" float [B, H, W, K], "noise" float [B, noise_dim], "image" float
            [B, H, W, 3] (training only) and, optionally at inference, "style_image" of its shape;
            and what else the generator reads.
        training: bool.

    Returns:
        dict of "image" float32 [B, H, W, 3] in (-1, 1); when training also "style_mean" and
        "style_log_variance", float32 [B, noise_dim].

    Raises:
        ValueError: the generator takes no noise, or its length is not the encoder's.

    Source: arXiv 1903.07291, section 4 (image synthesis with style guidance); NVlabs/SPADE,
    models/pix2pix_model.py (`encode_z`).
    """

    configurable = True

    optional_keys = ("style_image",)

    def __init__(self, generator, encoder, **kwargs) -> None:
        super().__init__(**kwargs)
        if generator.noise_dim is None or generator.noise_dim != encoder.noise_dim:
            raise ValueError(
                "Expected a generator and an encoder of the same noise length. "
                f"Received: generator.noise_dim={generator.noise_dim}, "
                f"encoder.noise_dim={encoder.noise_dim}. Set both to the same integer."
            )
        self.generator = generator
        self.encoder = encoder

    @property
    def input_keys(self) -> tuple[str, ...]:
        return (*self.generator.input_keys, "image")

    @property
    def noise_dim(self) -> int:
        return self.generator.noise_dim

    def build(self, input_shape) -> None:
        for part in (self.generator, self.encoder):
            if not part.built:  # loading a saved model builds the parts first
                part.build({key: input_shape[key] for key in part.input_keys})
        self.built = True

    def call(self, inputs, training=False) -> dict:
        extras, z = {}, inputs["noise"]
        if training:
            style = self.encoder({"image": inputs["image"]}, training=True)
            mean, log_variance = style["mean"], style["log_variance"]
            z = mean + ops.exp(0.5 * log_variance) * ops.cast(z, "float32")
            extras = {"style_mean": mean, "style_log_variance": log_variance}
        elif "style_image" in inputs:
            z = self.encoder({"image": inputs["style_image"]}, training=False)["mean"]
        of_generator = {key: inputs[key] for key in self.generator.input_keys if key in inputs}
        generated = self.generator({**of_generator, "noise": z}, training=training)
        return {**generated, **extras}
