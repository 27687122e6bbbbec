"""Calls that are refused: a model's name, the call, the exception, and words that its sentence must contain.

The words are the argument, what was given, what is expected, and where it helps, what to do.
"""

import numpy as np

from kcompile import callbacks
from kcompile.common.errors import DataError, DataTypeError, KCompileError, ShapeError, UnknownNameError
from tests.refusing_models import (
    CLASSES,
    INDICES,
    LABELLED,
    NARROW,
    ONE_HOT,
    X,
    Y,
    drawn,
    evaluate,
    fit,
    forever,
    predict,
    train,
)

CASES = {
    # R47: inputs of another form than the model's.
    "features": ("regression", fit(NARROW, Y), ShapeError, "x: input hidden_input (None, 3) (10, 2)"),
    "features, evaluate": ("regression", evaluate(NARROW, Y), ShapeError, "x: hidden_input (None, 3) (10, 2)"),
    "features, predict": ("regression", predict(NARROW), ShapeError, "x: hidden_input (None, 3) (10, 2)"),
    "features, train": ("regression", train(NARROW, Y), ShapeError, "x: hidden_input (None, 3) (10, 2)"),
    "features, generator": ("regression", drawn(NARROW, Y), ShapeError, "x: hidden_input (None, 3) (10, 2)"),
    "rank": ("regression", fit(X[..., None], Y), ShapeError, "x: (None, 3) (10, 3, 1)"),
    "one sample": ("regression", predict(X[0]), ShapeError, "x: (3,) add the batch axis: x[None]"),
    "no channels": (
        "image",
        predict(np.zeros((4, 8, 8))),
        ShapeError,
        "pixels_input (4, 8, 8) channel axis x[..., None]",
    ),
    "x missing": ("regression", fit(None, Y), DataError, "x is missing 'hidden_input'"),
    "x missing, predict": ("regression", predict(None), DataError, "x is missing 'hidden_input'"),
    "y missing": ("regression", fit(X), DataError, "y is missing 'price'"),
    "y missing, train": ("regression", train(X), DataError, "y is missing 'price'"),
    "key missing": ("two", fit({"a": X}, [Y, CLASSES]), DataError, "x: missing 'b' expected 'a', 'b'"),
    "key misspelled": (
        "two",
        fit({"a": X, "B": X}, [Y, CLASSES]),
        DataError,
        "x: missing 'b' extra key 'B' did you mean 'b'?",
    ),
    "key extra": ("two", fit({"a": X, "b": NARROW, "c": X}, [Y, CLASSES]), DataError, "x: extra key 'c' 'a', 'b'"),
    "key of y missing": ("two", fit([X, NARROW], {"p": Y}), DataError, "y: missing 'q' 'p', 'q'"),
    "list too long": ("two", fit([X, X, X], [Y, CLASSES]), DataError, "x: expected 2 arrays 'a', 'b' list of 3"),
    "array for two": ("two", fit(X, [Y, CLASSES]), DataError, "x: 2 inputs 'a', 'b' shape (10, 3) list or a dict"),
    "dict for one": ("regression", fit({"wrong": X}, Y), DataError, "x: missing 'hidden_input' extra key 'wrong'"),
    "x and y in x": ("regression", fit((X, Y)), DataTypeError, "x: one array y"),
    "a file name": ("regression", fit("data.csv", Y), DataTypeError, "x: expected an array str 'data.csv'"),
    "a function": ("regression", fit(len, Y), ShapeError, "x: scalar"),
    # R18: targets and weights are never broadcast.
    "two columns of y": (
        "regression",
        fit(X, NARROW),
        ShapeError,
        "y: (10, 2) 'price' (None, 1) 'mean_squared_error' 2 units",
    ),
    "two columns, train": ("regression", train(X, NARROW), ShapeError, "y: (10, 2) 'price' (None, 1)"),
    "two columns, evaluate": ("regression", evaluate(X, NARROW), ShapeError, "y: (10, 2) 'price' (None, 1)"),
    "weights of two columns": (
        "regression",
        fit(X, Y, sample_weight=NARROW),
        ShapeError,
        "sample_weight: (10,) (10, 2) 'temporal'",
    ),
    "weights of no time": (
        "temporal",
        fit(X, np.zeros((10, 3, 1)), sample_weight=Y),
        ShapeError,
        "sample_weight: (10, 3) (10,)",
    ),
    "weights of other times": (
        "temporal",
        train(X, np.zeros((10, 3, 1)), sample_weight=NARROW),
        ShapeError,
        "sample_weight: (10, 3) (10, 2)",
    ),
    "weights NaN": ("regression", fit(X, Y, sample_weight=Y * np.nan), DataError, "sample_weight: nan sample 0 finite"),
    # R48: numbers of samples.
    "fewer y": ("regression", fit(X, Y[:7]), DataError, "same number of samples x has 10 y has 7"),
    "fewer y, evaluate": ("regression", evaluate(X, Y[:7]), DataError, "x has 10 y has 7"),
    "fewer y, train": ("regression", train(X, Y[:7]), DataError, "x has 10 y has 7"),
    "fewer y, generator": ("regression", drawn(X, Y[:7]), DataError, "x has 10 y has 7"),
    "fewer weights": ("regression", fit(X, Y, sample_weight=Y[:4]), DataError, "x has 10 y has 10 sample_weight has 4"),
    "fewer of one input": ("two", fit([X, NARROW[:4]], [Y, CLASSES]), DataError, "x[0] ('a') has 10 x[1] ('b') has 4"),
    "empty": ("regression", fit(X[:0], Y[:0]), DataError, "x has 0 samples (0, 3) at least one"),
    "empty, evaluate": ("regression", evaluate(X[:0], Y[:0]), DataError, "x has 0 samples (0, 3)"),
    "empty, train": ("regression", train(X[:0], Y[:0]), DataError, "x has 0 samples (0, 3)"),
    "split 1": (
        "regression",
        fit(X, Y, validation_split=1),
        KCompileError,
        "fit: validation_split at least 0 and below 1 got 1",
    ),
    "split 1.5": ("regression", fit(X, Y, validation_split=1.5), KCompileError, "validation_split below 1 got 1.5"),
    "split -0.1": (
        "regression",
        fit(X, Y, validation_split=-0.1),
        KCompileError,
        "validation_split at least 0 got -0.1",
    ),
    "split text": (
        "regression",
        fit(X, Y, validation_split="0.2"),
        DataTypeError,
        "validation_split number '0.2' (str)",
    ),
    "split 0.99 of 10": (
        "regression",
        fit(X, Y, validation_split=0.99),
        DataError,
        "validation_split=0.99 10 samples none for training",
    ),
    "split of a generator": (
        "regression",
        fit(forever(), steps_per_epoch=1, validation_split=0.3),
        DataError,
        "validation_split arrays validation_data",
    ),
    "validation of one": (
        "regression",
        fit(X, Y, validation_data=(X,)),
        DataError,
        "validation_data (x, y) tuple of 1",
    ),
    "validation features": (
        "regression",
        fit(X, Y, validation_data=(NARROW, Y)),
        ShapeError,
        "validation_data: x: (None, 3) (10, 2)",
    ),
    "validation, no steps": (
        "regression",
        fit(X, Y, validation_data=forever()),
        DataError,
        "validation_data: generator validation_steps",
    ),
    # R49: numbers out of range.
    **{
        f"batch_size {size!r}": (
            "regression",
            fit(X, Y, batch_size=size),
            error,
            f"fit: batch_size integer of at least 1 got {size!r}",
        )
        for size, error in ((0, KCompileError), (-1, KCompileError), (2.5, DataTypeError), ("32", DataTypeError))
    },
    "batch_size 0, evaluate": (
        "regression",
        evaluate(X, Y, batch_size=0),
        KCompileError,
        "evaluate: batch_size at least 1 got 0",
    ),
    "batch_size 0, predict": (
        "regression",
        predict(X, batch_size=0),
        KCompileError,
        "predict: batch_size at least 1 got 0",
    ),
    "batch_size of a generator": (
        "regression",
        fit(forever(), steps_per_epoch=1, batch_size=3),
        DataError,
        "batch_size generator decides",
    ),
    "batch_size of a generator, predict": (
        "regression",
        predict(forever(), steps=1, batch_size=3),
        DataError,
        "batch_size generator decides",
    ),
    "epochs 0": ("regression", fit(X, Y, epochs=0), KCompileError, "fit: epochs integer of at least 1 got 0"),
    "epochs -1": ("regression", fit(X, Y, epochs=-1), KCompileError, "epochs at least 1 got -1"),
    "epochs 1.5": ("regression", fit(X, Y, epochs=1.5), DataTypeError, "epochs integer got 1.5 (float)"),
    "initial_epoch": ("regression", fit(X, Y, initial_epoch=-1), KCompileError, "initial_epoch at least 0 got -1"),
    "steps_per_epoch 0": (
        "regression",
        fit(X, Y, steps_per_epoch=0),
        KCompileError,
        "steps_per_epoch at least 1 got 0",
    ),
    "steps 0": ("regression", predict(X, steps=0), KCompileError, "predict: steps at least 1 got 0"),
    "no steps": ("regression", fit(forever()), DataError, "x: generator steps_per_epoch must be given Sequence"),
    "no steps, evaluate": ("regression", evaluate(forever()), DataError, "x: generator steps must be given"),
    "no steps, predict": ("regression", predict(forever()), DataError, "x: generator steps must be given"),
    "y of a generator": ("regression", fit(forever(), Y, steps_per_epoch=1), DataError, "y generator yields it"),
    "workers": (
        "regression",
        fit(forever(), steps_per_epoch=1, workers=-1),
        KCompileError,
        "workers at least 0 got -1",
    ),
    "verbose": ("regression", lambda m: m.fit(X, Y, verbose=5), KCompileError, "verbose between 0 and 2 got 5"),
    "shuffle": ("regression", fit(X, Y, shuffle="yes"), KCompileError, "shuffle True, False or 'batch' 'yes'"),
    "validation_freq": ("regression", fit(X, Y, validation_freq=0), KCompileError, "validation_freq at least 1 got 0"),
    "an unknown argument": ("regression", fit(X, Y, epoch=3), DataTypeError, "fit 'epoch' did you mean 'epochs'?"),
    "a callback's class": (
        "regression",
        fit(X, Y, callbacks=[callbacks.EarlyStopping]),
        DataTypeError,
        "callbacks[0] class EarlyStopping(...)",
    ),
    "a callback's name": (
        "regression",
        evaluate(X, Y, callbacks=["history"]),
        DataTypeError,
        "callbacks[0] Callback instance got str",
    ),
    # R50: class weights.
    "class missing": (
        "sparse",
        fit(X, CLASSES, class_weight={0: 1, 1: 2}),
        DataError,
        "class_weight: class 2 data has classes 0, 1, 2 dict classes 0, 1",
    ),
    "class missing, one-hot": (
        "categorical",
        fit(X, ONE_HOT, class_weight={0: 1, 1: 2}),
        DataError,
        "class_weight: class 2",
    ),
    "class missing, train": (
        "sparse",
        train(X, CLASSES, class_weight={0: 1}),
        DataError,
        "class_weight: classes 1, 2 dict class 0",
    ),
    "class missing, generator": (
        "sparse",
        drawn(X, CLASSES, class_weight={0: 1}),
        DataError,
        "class_weight: classes 1, 2",
    ),
    "class as text": (
        "sparse",
        fit(X, CLASSES, class_weight={"0": 1, "1": 1, "2": 1}),
        DataTypeError,
        "class_weight: class indices '0' (str)",
    ),
    "class weight negative": (
        "sparse",
        fit(X, CLASSES, class_weight={0: 1, 1: -2, 2: 1}),
        DataError,
        "class_weight[1]: at least 0 -2",
    ),
    "class weight list": (
        "sparse",
        fit(X, CLASSES, class_weight=[1, 2, 3]),
        DataTypeError,
        "class_weight: dict list dict(enumerate(weights))",
    ),
    "class weight, two outputs": (
        "two",
        fit([X, NARROW], [Y, CLASSES], class_weight={0: 1}),
        DataTypeError,
        "class_weight: 2 outputs 'p', 'q' keys 0",
    ),
    # R53: labels of another loss.
    "indices for one-hot": (
        "categorical",
        fit(X, CLASSES),
        ShapeError,
        "y: (10,) 'digit' (None, 3) 'sparse_categorical_crossentropy' to_categorical(y, 3)",
    ),
    "one-hot for indices": (
        "sparse",
        fit(X, ONE_HOT),
        ShapeError,
        "y: (None, 1) 'digit' (10, 3) one-hot 'categorical_crossentropy'",
    ),
    "NaN for probabilities": ("binary", train(X, Y * np.nan), DataError, "y: nan at sample 0 between 0 and 1"),
    # R19: labels that are no class, wherever labels are given.
    **{
        f"label {label}, {how}": (
            "sparse",
            call(X, np.where(np.arange(10) == 7, label, CLASSES)),
            DataError,
            f"y: label {shown} 0..2 3 classes sample 7",
        )
        for label, shown in (
            (3, "3 outside"),
            (-1, "-1 outside"),
            (1e9, "1e+09 outside"),
            (1.5, "1.5 is not a whole number"),
            (np.nan, "nan"),
        )
        for how, call in LABELLED.items()
    },
    # R54: data that are no numbers.
    "text in a column": (
        "regression",
        fit(np.array([[1, 2, "red"]] * 10, object), Y),
        DataTypeError,
        "x: object column 2 'red' row 0",
    ),
    "text": ("regression", predict(X.astype(str)), DataTypeError, "x: <U32 text astype('float32')"),
    "dates": ("regression", fit(np.zeros((10, 3), "M8[s]"), Y), DataTypeError, "x: datetime64[s] date"),
    "complex": ("regression", fit(X.astype(complex), Y), DataTypeError, "x: complex128 imaginary"),
    "complex y": ("regression", train(X, Y.astype(complex)), DataTypeError, "y: complex128 imaginary"),
    "text in y": ("sparse", fit(X, CLASSES.astype(str)), DataTypeError, "y: <U21 text"),
    "different lengths": (
        "regression",
        fit([[1, 2, 3], [1, 2]], [1, 2]),
        ShapeError,
        "x: different lengths (3, 2) np.pad",
    ),
    "a scalar": ("regression", predict(3), ShapeError, "x: scalar 3"),
    # R55: indices outside an embedding's table.
    **{
        f"index {index} into {name}, {how}": (
            name,
            call(np.where(np.arange(40).reshape(10, 4) == 21, index, INDICES)),
            KCompileError,
            f"x: {shown} sample 5, position (1,) 0..9 'words'",
        )
        for index, shown in ((10, "index 10"), (-1, "index -1"), (1.7, "got 1.7"), (np.nan, "got nan"))
        for name in ("embedding", "float_embedding")
        for how, call in {
            "fit": lambda x: fit(x, Y),
            "train": lambda x: train(x, Y),
            "predict": predict,
            "on_batch": lambda x: lambda m: m.predict_on_batch(x),
        }.items()
    },
    # Weights.
    "number of weights": ("regression", lambda m: m.set_weights([X]), KCompileError, "4 weights list of 1"),
    "shapes of weights": (
        "regression",
        lambda m: m.set_weights([w.T for w in m.get_weights()]),
        ShapeError,
        "hidden/kernel is (3, 4), got (4, 3); price/kernel is (4, 1), got (1, 4)",
    ),
    "text as weights": (
        "regression",
        lambda m: m.set_weights([w.astype(str) for w in m.get_weights()]),
        DataTypeError,
        "hidden/kernel numbers <U32",
    ),
    "state of an optimizer": (
        "regression",
        lambda m: m.optimizer.set_weights([X]),
        KCompileError,
        "Adam state arrays got 1",
    ),
    "a learning rate": (
        "regression",
        lambda m: setattr(m.optimizer, "lr", -1),
        KCompileError,
        "Adam: lr at least 0 got -1",
    ),
    "an unknown layer": (
        "regression",
        lambda m: m.get_layer("hiden"),
        UnknownNameError,
        "layer 'hiden' did you mean 'hidden'?",
    ),
}
