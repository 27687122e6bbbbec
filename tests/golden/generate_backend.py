"""Record functions of the backend: ``python -m tests.golden.generate_backend``. Computed in float32."""

from typing import Any

from tests.golden import data
from tests.golden.cases.backend import CASES, BackendCase
from tests.golden.oracle import SOURCE, backend, np, stored, tf
from tests.golden.storage import save


def record(case: BackendCase) -> dict[str, Any]:
    inputs = [data.values(kind, shape, case.name, i) for i, (kind, shape) in enumerate(case.inputs)]
    tensors = [tf.constant(x) for x in inputs]
    floats = [t for t in tensors if t.dtype.is_floating]
    function = getattr(backend, case.function)
    arguments = [tensors] if case.as_list else list(tensors)
    if case.function == "switch":
        arguments[0] = tf.cast(arguments[0], bool)
    with tf.GradientTape() as tape:
        tape.watch(floats)
        value = function(*arguments, **case.arguments)
        fields: dict[str, Any] = {"source": SOURCE, "inputs": inputs, "value": [np.asarray(value)]}
        if value.dtype.is_floating:
            cotangent = data.normal(value.shape, case.name, "cotangent")
            total = tf.reduce_sum(value * cotangent)
    if value.dtype.is_floating and floats:
        gradients = tape.gradient(total, floats, unconnected_gradients="zero")
        fields["cotangent"] = [cotangent]
        fields["gradients"] = [stored(tf.convert_to_tensor(g)) for g in gradients]
    return fields


def main() -> None:
    records = {case.name: record(case) for case in CASES}
    assert len(records) == len(CASES), "case names must be unique"
    path = save("backend", records)
    print(f"{path.name}: {len(records)} cases, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
