"""Record the configurations that tf_keras and Keras 3 write: ``python -m tests.golden.generate_configs``."""

from typing import Any

from tests.golden.cases.configs import CASES
from tests.golden.storage import save


def record(keras: Any, kind: str, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    made = getattr(getattr(keras, kind), name)(**arguments)
    return {"config": keras.saving.serialize_keras_object(made), "source": f"{keras.__name__} {keras.__version__}"}


def main() -> None:
    import keras
    import tf_keras

    records = {
        f"{writer}_{kind}_{name}": record(module, kind, name, arguments)
        for writer, module in (("keras_3", keras), ("tf_keras", tf_keras))
        for kind, name, arguments in CASES
    }
    path = save("configs", records)
    print(f"{path.name}: {len(records)} cases, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
