"""Settings of layers and networks: what Keras saves of them is what their constructors take."""

import inspect

import keras


class FromSettings:
    """Config of the arguments of `__init__`, each of which is an attribute of its own name.

    Layers among them are saved with their own configs and restored. Keras records settings by
    itself for layers with plain ones; this is for networks, and for settings that are layers.
    """

    def get_config(self) -> dict:
        named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        parameters = inspect.signature(type(self)).parameters.values()
        own = {p.name: _plain(getattr(self, p.name)) for p in parameters if p.kind in named}
        inherited = super().get_config()  # type: ignore[misc]  # of the Keras class it stands before
        return {**inherited, **own}

    @classmethod
    def from_config(cls, config) -> keras.layers.Layer:
        return cls(**{name: _restored(value) for name, value in config.items()})


def keep_template(owner, name, layer) -> None:
    """Stores `layer` as a setting of `owner`: to be copied, never built or tracked itself."""
    object.__setattr__(owner, name, layer)  # Keras' own setattr would make it a sub-layer


def fresh_copy(layer, name=None) -> keras.layers.Layer:
    """Returns an unbuilt layer with the settings of `layer` and a name and weights of its own."""
    config = layer.get_config()
    config.pop("name", None)
    return type(layer).from_config(config if name is None else {**config, "name": name})


def _plain(value) -> object:
    if isinstance(value, list | tuple):
        return list(value)
    return keras.saving.serialize_keras_object(value) if isinstance(value, keras.Layer) else value


def _restored(value) -> object:
    is_layer = isinstance(value, dict) and "class_name" in value and "config" in value
    return keras.saving.deserialize_keras_object(value) if is_layer else value
