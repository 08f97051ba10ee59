"""Settings of layers and networks: what Keras saves of them is what their constructors take."""

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator

import keras


class OwnPolicy:
    """The dtype policy of a layer is that of all layers that it makes, whatever the global one is.

    A layer that is saved in mixed precision is so when it is loaded in float32.
    """

    def __init_subclass__(cls, **kwargs) -> None:
        super().__init_subclass__(**kwargs)
        for name in ("__init__", "build"):
            if name in vars(cls):
                setattr(cls, name, _within_policy(vars(cls)[name]))


def _within_policy(method: Callable) -> Callable:
    """The method, with the layer's policy as the global one while it runs."""
    making = method.__name__ == "__init__"

    @functools.wraps(method)
    def within(self, *args, **kwargs) -> None:
        with _policy(kwargs.get("dtype") if making else self.dtype_policy):
            method(self, *args, **kwargs)

    if making:  # Keras reads the names of positional settings, without a look at what is wrapped
        vars(within)["__signature__"] = inspect.signature(method)
    return within


@contextlib.contextmanager
def _policy(policy) -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(keras.dtype_policies.get(policy))  # of None, the global one
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


class FromSettings(OwnPolicy):
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
    """An unbuilt layer with the settings of `layer`, a name, weights and a policy of its own.

    The policy is that of the layer which makes the copy, see `OwnPolicy`.
    """
    own = {} if name is None else {"name": name}
    config = {k: v for k, v in layer.get_config().items() if k not in ("name", "dtype")}
    return type(layer).from_config({**config, **own})


def _plain(value) -> object:
    if isinstance(value, list | tuple):
        return list(value)
    return keras.saving.serialize_keras_object(value) if isinstance(value, keras.Layer) else value


def _restored(value) -> object:
    is_layer = isinstance(value, dict) and "class_name" in value and "config" in value
    return keras.saving.deserialize_keras_object(value) if is_layer else value
