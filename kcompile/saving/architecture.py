"""Models as JSON and YAML: their architecture, without weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from kcompile.common.checks import check_one_of
from kcompile.common.tracebacks import short_traceback
from kcompile.engine.network import Network
from kcompile.objects.configs import model_from_config
from kcompile.objects.custom import get_registered_name
from kcompile.objects.plain import plain
from kcompile.saving.text import read_json, read_yaml

KERAS_VERSION = "2.3.1"
"""The version of Keras that our configurations name: the one whose form they have."""

OWN_FORM = "kcompile_form"
"""Under what our configurations tell that they are ours, and of which form; other readers skip it."""


def architecture(model: Network) -> dict[str, Any]:
    """What describes a model without its weights, in the form of Keras 2 and of plain values only.

    Raises:
        ValueError: a model, or an argument of a layer, that no configuration can describe.
        NotImplementedError: a subclassed model, as in Keras.
    """
    config = plain(model.get_config(), model.name)
    return {
        "class_name": get_registered_name(type(model)),
        "config": config,
        "keras_version": KERAS_VERSION,
        OWN_FORM: 2,
        "backend": "tensorflow",  # readers that know no other take channels-last kernels for granted then
    }


def to_json(model: Network, keras_version: int = 2, **options: Any) -> str:
    """The architecture as JSON.

    Args:
        model: the model.
        keras_version: 2: for Keras 2, tf.keras and kcompile; 3: for Keras 3 and kcompile.
        options: those of ``json.dumps``.
    """
    from kcompile.saving.archive.configs import KERAS_3, archive_config

    check_one_of("to_json", "keras_version", keras_version, (2, 3))
    config = {**archive_config(model, KERAS_3), OWN_FORM: 2} if keras_version == 3 else architecture(model)
    return json.dumps(config, **{"allow_nan": False, **options})


def to_yaml(model: Network, **options: Any) -> str:
    """The architecture as YAML; ``options`` are those of ``yaml.safe_dump``."""
    import yaml

    text: str = yaml.safe_dump(architecture(model), **{"sort_keys": False, **options})
    return text


@short_traceback
def model_from_json(
    json_string: str | bytes, custom_objects: Mapping[str, Any] | None = None, safe_mode: bool = True
) -> Any:
    """A new model, with fresh weights, from the JSON of any version of Keras.

    Args:
        json_string: the text.
        custom_objects: classes and functions by name, besides those of Keras.
        safe_mode: refuse functions stored as Python bytecode.

    Raises:
        ValueError: no JSON, or as :func:`kcompile.objects.configs.model_from_config`.
    """
    return _model(read_json(json_string), custom_objects, safe_mode)


@short_traceback
def model_from_yaml(
    yaml_string: str | bytes, custom_objects: Mapping[str, Any] | None = None, safe_mode: bool = True
) -> Any:
    """A new model, with fresh weights, from the YAML of Keras 1 or 2; arguments as for :func:`model_from_json`."""
    return _model(read_yaml(yaml_string), custom_objects, safe_mode)


def _model(data: Any, custom_objects: Mapping[str, Any] | None, safe_mode: bool) -> Any:
    version = data.get("keras_version") if isinstance(data, Mapping) else None
    version, own = (version if isinstance(version, str) else None), isinstance(data, Mapping) and OWN_FORM in data
    return model_from_config(data, custom_objects, version, safe_mode, own)
