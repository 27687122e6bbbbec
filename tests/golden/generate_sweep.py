"""Record files with every loss, metric, optimizer, layer and argument: ``python -m tests.golden.generate_sweep``.

A case is a small model saved as ``.h5`` and ``.keras`` by tf_keras and by Keras 3, with what it predicts and evaluates
to there. The files are stored one behind the other, compressed as one: they differ in little.
"""

from __future__ import annotations

import inspect
import lzma
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.golden.cases import sweep
from tests.golden.storage import save

SAMPLES = 8
Record = dict[str, Any]


def inputs_of(shapes: list[tuple[int, ...]], integers: bool = False) -> list[np.ndarray]:
    """Numbers that a test can make again: small multiples of 1/8, or class numbers, with some zeros."""
    found = []
    for place, shape in enumerate(shapes):
        count = 2 * int(np.prod(shape))
        values = (np.arange(count) * (5 + 2 * place) + place) % 17
        found.append(((values % 5) if integers else (values - 8) / 8).astype("float32").reshape(2, *shape))
    return found


def disturbed(model: Any) -> None:
    """Weights that differ, and compress."""
    model.set_weights(
        [(((np.arange(w.size) * 3 + place) % 7 + 1) / 8).astype(w.dtype).reshape(w.shape) for place, w in
         enumerate(model.get_weights())]
    )  # fmt: skip


def targets_of(kind: str) -> np.ndarray:
    numbers = np.arange(SAMPLES)
    if kind == sweep.LABELS:
        return (numbers % 3).astype("float32")
    if kind == sweep.CLASSES:
        return np.eye(3, dtype="float32")[numbers % 3]
    cells = np.arange(SAMPLES * 3).reshape(SAMPLES, 3)
    return ((cells * 5 % 3 > 0) if kind == sweep.BINARY else (cells * 5 % 7 + 1) / 8).astype("float32")


def features() -> np.ndarray:
    return ((np.arange(SAMPLES * 4) * 5 % 13 - 6) / 4).astype("float32").reshape(SAMPLES, 4)


def trained_model(keras: Any, kind: str, outputs: int = 1, logits: bool = False) -> Any:
    """One layer for each output, whose numbers suit the kind of targets."""
    x = keras.layers.Input(shape=(4,), name="x")
    activation = "linear" if logits else {sweep.SAME: "softplus", sweep.BINARY: "sigmoid"}.get(kind, "softmax")
    made = [keras.layers.Dense(3, activation=activation, name=f"out{i + 1}")(x) for i in range(outputs)]
    model = keras.models.Model(x, made, name="model") if outputs > 1 else keras.models.Model(x, made[0], name="model")
    disturbed(model)
    return model


def evaluated(model: Any, kinds: list[str]) -> list[np.ndarray]:
    y = [targets_of(kind) for kind in kinds]
    found = model.evaluate(features(), y if len(y) > 1 else y[0], batch_size=SAMPLES, verbose=0)
    values = [np.ravel(value) for value in (found if isinstance(found, list) else [found])]
    return [np.concatenate(values).astype("float32")]


class Recorder:
    """Makes records, and says what the library itself refuses."""

    def __init__(self, writer: str) -> None:
        self.keras = __import__(writer)
        self.writer = writer
        self.records: dict[str, Record] = {}
        self.files: list[bytes] = []
        self.refused: dict[str, str] = {}

    def add(self, name: str, make: Any) -> None:
        """The files of the model that ``make()`` returns with the fields of its record."""
        self.keras.backend.clear_session()
        try:
            model, fields = make()
            contents = {kind: self.saved(model, kind) for kind in sweep.FORMATS}
            fields = fields() if callable(fields) else fields  # of what is computed after the file is written
        except Exception as error:  # whatever the library says against a combination
            self.refused[name] = f"{type(error).__name__}: {' '.join(str(error).split())[:100]}"
            return
        for kind, content in contents.items():
            self.files.append(content)
            self.records[f"{self.writer}.{kind}/{name}"] = {**fields, "file": len(self.files) - 1}

    def saved(self, model: Any, kind: str) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"model.{kind}"
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model.save(path)
            return path.read_bytes()

    # -- losses and metrics

    def objects(self, family: str) -> Iterator[tuple[str, list[Any]]]:
        """Names with what is compiled: the name itself, or objects of the class in all variants."""
        module = getattr(self.keras, family)
        for name in sorted({*dir(module), *(n for n in dir(self.keras.losses) if n.islower())}):
            found = getattr(module, name, getattr(self.keras.losses, name, None))
            if name.startswith("_") or not callable(found) or name in sweep.NO_CASE:
                continue
            if not inspect.isclass(found):
                yield name, [name]
                continue
            try:
                yield name, variants(found, sweep.OBJECT_BASES.get(name, {}), sweep.OBJECT_VALUES, sweep.NOT_ALONE)
            except Exception as error:
                self.refused[f"{family}/{name}"] = str(error)[:100]

    def losses(self) -> None:
        for name, made in self.objects("losses"):
            kind = sweep.target_kind(name)

            def make(made: list[Any] = made, kind: str = kind) -> Any:
                model = trained_model(self.keras, kind, len(made))
                model.compile("sgd", made if len(made) > 1 else made[0])
                return model, {"kinds": [kind] * len(made), "evaluated": evaluated(model, [kind] * len(made))}

            self.add(f"losses/{name}", make)
            if inspect.isclass(getattr(self.keras.losses, name)):
                self.add(f"losses/{name}-alone", lambda made=made, make=make: make(made[:1]))
            self.logits("losses", name, kind)

    def logits(self, family: str, name: str, kind: str) -> None:
        """A class that can take logits, and does."""
        found = getattr(getattr(self.keras, family), name, None)
        if not inspect.isclass(found) or "from_logits" not in inspect.signature(found.__init__).parameters:
            return

        def make() -> Any:
            model = trained_model(self.keras, kind, logits=True)
            made = found(from_logits=True)
            model.compile("sgd", made if family == "losses" else "mse", metrics=None if family == "losses" else [made])
            return model, {"kinds": [kind], "evaluated": evaluated(model, [kind])}

        self.add(f"{family}/{name}-logits", make)

    def metrics(self) -> None:
        loss = {sweep.LABELS: "sparse_categorical_crossentropy", sweep.CLASSES: "categorical_crossentropy",
                sweep.BINARY: "binary_crossentropy", sweep.SAME: "mean_squared_error"}  # fmt: skip
        names = {"accuracy": sweep.CLASSES, "acc": sweep.BINARY, "crossentropy": sweep.LABELS, "ce": sweep.CLASSES}
        cases = [*((name, made, sweep.target_kind(name)) for name, made in self.objects("metrics"))]
        # To tf.keras the crossentropy of sigmoids in several columns is that of a softmax of what went in.
        of = [(name, kind) for name in names for kind in loss if kind != sweep.BINARY or name.startswith("acc")]
        cases += [(f"{name}-of-{kind}", [name], kind) for name, kind in of]
        for name, made, kind in cases:

            def make(made: list[Any] = made, kind: str = kind) -> Any:
                model = trained_model(self.keras, kind)
                model.compile("sgd", loss[kind], metrics=made)
                return model, {"kinds": [kind], "evaluated": evaluated(model, [kind])}

            self.add(f"metrics/{name}", make)
            self.logits("metrics", name, kind)

    def outputs(self) -> None:
        """Pairs in models of two outputs."""
        m, kinds = self.keras.metrics, [sweep.SAME, sweep.BINARY]
        cases: dict[str, dict[str, Any]] = {
            "by name, first": {"loss": "mse", "metrics": {"out1": ["mae"]}},
            "by name, second": {"loss": "mse", "metrics": {"out2": ["mae", "mse"]}},
            "by name, both": {"loss": {"out1": "mae", "out2": "mse"}, "metrics": {"out1": "mae", "out2": ["mse"]}},
            "lists": {"loss": ["mse", "binary_crossentropy"], "metrics": [["mae"], ["accuracy"]]},
            "empty list": {"loss": ["mse", "binary_crossentropy"], "metrics": [[], ["accuracy", "mae"]]},
            "one for both": {"loss": "mse", "metrics": [["mae"], ["mae"]]},
            "objects of one name": {
                "loss": "mse", "metrics": [[m.MeanAbsoluteError(name="error")], [m.MeanSquaredError(name="error")]]
            },
            "objects": {"loss": "mse", "metrics": {"out1": [m.MeanSquaredError()], "out2": [m.AUC(num_thresholds=10)]}},
            "loss weights": {"loss": ["mse", "mae"], "loss_weights": [0.5, 2.0]},
            "loss weights by name": {"loss": {"out1": "mse", "out2": "mae"}, "loss_weights": {"out2": 2.0}},
            "weighted": {"loss": "mse", "weighted_metrics": [["mae"], ["mse"]]},
            "loss objects": {
                "loss": [self.keras.losses.LogCosh(), self.keras.losses.BinaryCrossentropy(label_smoothing=0.25)],
                "metrics": [["mae"], [m.BinaryAccuracy(threshold=0.25)]],
            },
            "partial loss": {"loss": ["mse", None]},
            "no loss": {},
        }  # fmt: skip
        for name, arguments in cases.items():

            def make(arguments: dict[str, Any] = arguments) -> Any:
                model = trained_model(self.keras, sweep.BINARY, 2)
                model.compile("sgd", **arguments)
                return model, {"kinds": kinds, "evaluated": evaluated(model, kinds)} if arguments else {"kinds": kinds}

            self.add(f"outputs/{name}", make)

    # -- optimizers

    def optimizers(self) -> None:
        modules = {"": self.keras.optimizers}
        if hasattr(self.keras.optimizers, "legacy"):
            modules["legacy."] = self.keras.optimizers.legacy
        for prefix, module in modules.items():
            for name in dir(module):
                found = getattr(module, name)
                if not inspect.isclass(found) or name in ("Optimizer", "MultiOptimizer", "OptimizerMap"):
                    continue
                inner = {"inner_optimizer": self.keras.optimizers.SGD()} if name == "LossScaleOptimizer" else {}
                try:
                    arguments = [key for key, _ in argument_variants(found, inner, sweep.OPTIMIZER_VALUES)]
                except Exception as error:
                    self.refused[f"optimizers/{prefix}{name}"] = str(error)[:100]
                    continue
                for key in ["", *dict.fromkeys(arguments)]:
                    given = {key: sweep.OPTIMIZER_VALUES[key], **sweep.OPTIMIZER_NEEDS.get(key, {})} if key else {}
                    self.add(
                        f"optimizers/{prefix}{name}-{key}",
                        lambda found=found, given=given, inner=inner: self.trained(found(**inner, **given)),
                    )

    def trained(self, optimizer: Any) -> Any:
        x = self.keras.layers.Input(shape=(4,), name="x")
        model = self.keras.models.Model(x, self.keras.layers.Dense(1, name="d")(x), name="m")
        disturbed(model)
        model.compile(optimizer, "mse")
        y = targets_of(sweep.SAME)[:, :1]
        model.fit(features(), y, batch_size=4, epochs=1, shuffle=False, verbose=0)

        def after() -> Record:
            model.fit(features(), y, batch_size=4, epochs=1, shuffle=False, verbose=0)
            return {"weights": [np.asarray(w, "float32") for w in model.get_weights()]}

        return model, after

    # -- layers

    def layers(self) -> None:
        L = self.keras.layers
        for name in dir(L):
            found = getattr(L, name)
            base_name = next((b + name[len(a) :] for a, b in sweep.SAME_AS.items() if name.startswith(a)), name)
            base_name = name if name in sweep.BASES else base_name
            if not inspect.isclass(found) or (base_name not in sweep.BASES and name not in sweep.WRAPPED):
                continue
            if name in sweep.WRAPPED:
                base, shapes = sweep.WRAPPED[name]
                kept = [lambda found=found, base=base: found(**base(L))]
                kept += [lambda found=found, other=other: found(**other(L)) for other in sweep.OTHER_LAYERS[name]]
                pairs = argument_variants(found, base(L), sweep.LAYER_VALUES)
                kept += [lambda found=found, base=base, k=k, v=v: found(**{**base(L), k: v}) for k, v in pairs]
            else:
                base, shapes = sweep.BASES[base_name]
                pairs = argument_variants(found, base, sweep.LAYER_VALUES)
                pairs = pairs if base_name == name else []
                kept = [lambda found=found, base=base: found(**base)]
                kept += [lambda found=found, base=base, k=k, v=v: found(**{**base, k: v}) for k, v in pairs]
            integers = name == "Embedding"
            working = [make for make in kept if self.works(name, make, shapes, integers)]

            def make(working: list[Any] = working, shapes: Any = shapes, integers: bool = integers) -> Any:
                model = self.branches(working, shapes)
                x = inputs_of(shapes, integers)
                y = model(x if len(x) > 1 else x[0])
                y = [np.asarray(each) for each in (y if isinstance(y, (list, tuple)) else [y])]
                return model, {"shapes": [list(shape) for shape in shapes], "integers": integers, "predictions": y}

            self.add(f"layers/{name}", make)

    def branches(self, layers: list[Any], shapes: list[tuple[int, ...]]) -> Any:
        """One model with every variant of a layer on the same inputs."""
        inputs = [self.keras.layers.Input(shape=shape, name=f"x{i}") for i, shape in enumerate(shapes)]
        outputs = [make()(inputs if len(inputs) > 1 else inputs[0]) for make in layers]
        flat = [y for each in outputs for y in (each if isinstance(each, (list, tuple)) else [each])]
        model = self.keras.models.Model(inputs, flat, name="model")
        disturbed(model)
        return model

    def works(self, name: str, make: Any, shapes: list[tuple[int, ...]], integers: bool) -> bool:
        """Whether the library computes this variant (its kernels on CPUs know no channels_first, for one)."""
        try:
            x = inputs_of(shapes, integers)
            self.branches([make], shapes)(x if len(x) > 1 else x[0])
        except Exception as error:
            self.refused[f"layers/{name}: {len(self.refused)}"] = f"{type(error).__name__}: {str(error)[:80]}"
            return False
        return True

    def masks(self) -> None:
        """Layers that join masked inputs, into a layer that reads the mask."""
        L = self.keras.layers
        for name in sweep.MERGES:
            for axis in (1, -1) if name == "Concatenate" else (None,):
                for both in (True, False):

                    def make(name: str = name, axis: Any = axis, both: bool = both) -> Any:
                        inputs = [L.Input(shape=(4,), name=f"x{i}") for i in range(2)]
                        first = L.Embedding(5, 2, mask_zero=True, name="e1")(inputs[0])
                        second = L.Embedding(5, 2, mask_zero=both, name="e2")(inputs[1])
                        joined = getattr(L, name)(**({} if axis is None else {"axis": axis}))([first, second])
                        y = [L.LSTM(2, name="lstm")(joined), L.GlobalAveragePooling1D(name="mean")(joined)]
                        model = self.keras.models.Model(inputs, y, name="model")
                        disturbed(model)
                        shapes = [(4,), (4,)]
                        y = [np.asarray(each) for each in model(inputs_of(shapes, True))]
                        return model, {"shapes": [list(s) for s in shapes], "integers": True, "predictions": y}

                    self.add(f"masks/{name}{'' if axis is None else axis}{'-both' if both else '-one'}", make)


def argument_variants(found: Any, base: dict[str, Any], values: dict[str, Any]) -> list[tuple[str, Any]]:
    """Arguments that the class writes into its configuration, with values that are not the default's."""
    config = found(**base).get_config()
    pairs = []
    for key, default in config.items():
        given = values.get(key)
        if values is sweep.LAYER_VALUES:
            given = sweep.LAYER_VALUES_OF.get(found.__name__, {}).get(key, given)
        if given is None:
            given = next((value for ending, value in sweep.BY_ENDING.items() if key.endswith(f"_{ending}")), None)
        if given is None and key not in sweep.NOT_VARIED and values is not sweep.OPTIMIZER_VALUES:
            print(f"  no value for {key}={default!r} of {found.__module__}.{found.__name__}", flush=True)
        for value in given if isinstance(given, list) and values is sweep.LAYER_VALUES else [given]:
            if value is not None and value != default and key not in sweep.NOT_VARIED:
                pairs.append((key, value))
    return pairs


def variants(found: Any, base: dict[str, Any], values: dict[str, Any], needs: dict[str, Any]) -> list[Any]:
    """Objects of a class: the base, and one for each argument; each has a name of its own."""
    made = [found(**base)]
    accepted = inspect.signature(found.__init__).parameters
    for key, default in found(**base).get_config().items():
        if key not in accepted or key == "name" or key not in values or values[key] == default:
            continue
        if key == "label_weights" and found.__module__.startswith("keras."):
            continue  # which Keras 3 cannot write
        if key == "axis" and default != -1:
            continue
        label = {"name": f"{found.__name__.lower()}_{key}"} if "name" in accepted else {}
        made.append(found(**{**base, **needs.get(key, {}), key: values[key], **label}))
    return made


def kept(family: str, records: dict[str, Record], files: list[bytes]) -> tuple[dict[str, Record], list[bytes]]:
    """The records of a family in the formats that are kept, with their files."""
    names = [name for name in records if name.startswith(sweep.KEPT.get(family, ("",)))]
    chosen = [files[records[name]["file"]] for name in names]
    return {name: {**records[name], "file": number} for number, name in enumerate(names)}, chosen


def write(family: str, records: dict[str, Record], files: list[bytes]) -> None:
    """The golden files of a family: one, or one for each format that is kept of a large family."""
    for part, format in sweep.parts(family):
        chosen = {name: record for name, record in records.items() if name.startswith(format)}
        own = [files[record["file"]] for record in chosen.values()]
        packed = lzma.compress(b"".join(own), preset=9 | lzma.PRESET_EXTREME)
        stored = {name: {**record, "file": number} for number, (name, record) in enumerate(chosen.items())}
        stored["files"] = {"lengths": [len(file) for file in own], "packed": [np.frombuffer(packed, np.uint8)]}
        path = save(part, stored)
        print(f"{path.name}: {len(own)} files, {path.stat().st_size / 1000:.0f} kB", flush=True)


def main() -> None:
    from tests.golden import oracle

    chosen = sys.argv[1:] or sweep.FAMILIES
    for family in chosen:
        # Much faster; but losses look through an activation, as they do in training, in graphs only.
        oracle.tf.config.run_functions_eagerly(family in ("layers", "masks", "optimizers"))
        records: dict[str, Record] = {}
        files: list[bytes] = []
        for writer in sweep.WRITERS:
            recorder = Recorder(writer)
            getattr(recorder, family)()
            for name, record in recorder.records.items():
                records[name] = {**record, "file": record["file"] + len(files)}
            files += recorder.files
            for name, reason in recorder.refused.items():
                print(f"  {writer} refuses {name}: {reason}", flush=True)
        write(family, *kept(family, records, files))


if __name__ == "__main__":
    main()
