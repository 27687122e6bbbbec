"""Record what masks layers pass on: ``python -m tests.golden.generate_masks``.

What tf_keras refuses is recorded as ``refused``: masks of a rank that the layer cannot use.
"""

from __future__ import annotations

from typing import Any

from tests.golden import data
from tests.golden.cases.masks import CASES, MaskCase
from tests.golden.oracle import SOURCE, keras, np, stored, tf
from tests.golden.storage import save


def layer_of(case: MaskCase) -> Any:
    """The layer of a case."""
    arguments = {key: made(value) for key, value in case.arguments.items()}
    return getattr(keras.layers, case.layer)(**arguments)


def made(value: Any) -> Any:
    """A layer among the arguments."""
    if not isinstance(value, dict):
        return value
    rest = {key: item for key, item in value.items() if key != "layer"}
    return getattr(keras.layers, value["layer"])(**rest)


def record(case: MaskCase) -> dict[str, Any]:
    """The mask of the output, if there is one."""
    tensors = [tf.constant(data.masked(shape, case.name, i)) for i, shape in enumerate(case.shapes)]
    tensors = [keras.layers.Masking()(x) if masked else x for x, masked in zip(tensors, case.masks, strict=True)]
    try:
        output = layer_of(case)(tensors if len(tensors) > 1 else tensors[0])
    except (TypeError, tf.errors.InvalidArgumentError):
        return {"source": SOURCE, "mask": "refused"}
    mask = getattr(output, "_keras_mask", None)
    return {"source": SOURCE, "mask": "none" if mask is None else [stored(np.asarray(mask))]}


if __name__ == "__main__":
    save("masks", {case.name: record(case) for case in CASES})
