"""Data of models with a step of their own: any structure of arrays, fed as it is given.

What a ``train_step(self, data)`` makes of its data is its own affair: there may be no targets, or targets that look
like no output. So the arrays tell what is fed; they are only checked for numbers, for their count of samples and, where
they fit a functional model, for indices and class numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kcompile.common.errors import DataError
from kcompile.data.adapters import Array, FeedSpec, LazyRows, is_array_like, raw_array, to_array
from kcompile.data.checks import TargetSpec, check_indices, check_sample_counts, check_target, matches
from kcompile.data.model_data import ModelData
from kcompile.data.weights import class_weights_of


@dataclass(frozen=True)
class Leaf:
    """One array of a structure: its name in graphs, its shape (batch axis first) and type."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str


@dataclass(frozen=True)
class Form:
    """The structures of x, y and sample weights, with a :class:`Leaf` for each array; ``None``: not given."""

    x: Any
    y: Any
    weights: Any

    def leaves(self) -> list[Leaf]:
        """All arrays in the order in which they are fed."""
        return [leaf for part in (self.x, self.y, self.weights) for leaf in leaves_of(part)]

    def filled(self, tensors: Sequence[Any]) -> Any:
        """What the step gets: ``x``, ``(x,)``, ``(x, y)`` or ``(x, y, sample_weight)``, as tf.keras packs them."""
        waiting = iter(tensors)
        x, y, weights = (_map(part, lambda _: next(waiting)) for part in (self.x, self.y, self.weights))
        if weights is not None:
            return x, y, weights
        if y is not None:
            return x, y
        return (x,) if isinstance(x, (list, tuple)) else x

    @property
    def key(self) -> str:
        return repr(self)


class FreeSpecs(list[FeedSpec]):
    """In the place of a list of specs: what arrays look like is for them to say.

    Args:
        model_inputs: what a functional model takes, for the checks of indices.
        model_targets: what its losses take, for the checks of class numbers.
    """

    def __init__(self, model_inputs: Sequence[FeedSpec] = (), model_targets: Sequence[TargetSpec] = ()) -> None:
        super().__init__()
        self._model_inputs = model_inputs
        self._model_targets = model_targets

    def standardize(
        self, x: Any, y: Any, sample_weight: Any, class_weight: Any, prefix: str, allow_empty: bool, whole_data: bool,
        floatx: str,
    ) -> ModelData:  # fmt: skip
        """The arrays and their form; see :func:`kcompile.data.standardize.standardize`.

        Raises:
            ValueError: numbers of samples that differ, arrays of no numbers, class weights without one target.
        """
        if x is None:
            raise DataError(f"{prefix}x is missing: give what the step of the model takes.")
        arrays: list[tuple[str, Array]] = []
        forms = []
        parts: list[list[Array]] = []
        for name, part in (("x", x), ("y", y), ("sample_weight", sample_weight)):
            found: list[tuple[str, Array]] = []
            forms.append(_leaves(part, name, f"{prefix}{name}", floatx, found))
            arrays += found
            parts.append([array for _, array in found])
        samples = check_sample_counts(arrays, allow_empty=allow_empty)
        self._check_indices(forms[0], parts[0], prefix)
        self._check_labels(parts[1], prefix)
        weights: list[Any] = list(parts[2])
        if class_weight is not None:
            factor = _class_factors(class_weight, parts[1], f"{prefix}class_weight", whole_data, floatx)
            if len(weights) > 1:
                raise DataError(f"{prefix}class_weight takes one array of sample weights, not {len(weights)}.")
            weights = [weights[0] * factor if weights else factor]
            shape = (None, *weights[0].shape[1:])
            forms[2] = Leaf("sample_weight", shape, floatx)
        form = Form(*forms)
        dtypes = [leaf.dtype for leaf in leaves_of(form.x)]
        targets = [leaf.dtype for leaf in leaves_of(form.y)]
        sources = [(path, array.ndim) for path, array in arrays][: len(parts[0]) + len(parts[1])]
        sources += [("sample_weight", weight.ndim) for weight in weights]
        return ModelData(parts[0], parts[1], weights, samples, tuple(dtypes), tuple(targets), form, tuple(sources))

    def _check_indices(self, form: Any, arrays: Sequence[Array], prefix: str) -> None:
        inputs = self._model_inputs
        if len(inputs) != len(arrays):
            return
        for leaf, array, spec in zip(leaves_of(form), arrays, inputs, strict=True):
            fits = spec.shape is None or matches(tuple(array.shape), spec.shape)
            if spec.index_limit is not None and fits and isinstance(array, np.ndarray):
                check_indices(array, spec.index_limit, spec.index_owner or spec.name, f"{prefix}{leaf.name}")

    def _check_labels(self, arrays: Sequence[Array], prefix: str) -> None:
        for array, spec in zip(arrays, self._model_targets, strict=False):
            rank = len(spec.shape or ())
            if spec.kind == "sparse" and array.ndim in (rank, rank - 1) and len(arrays) == len(self._model_targets):
                check_target(array, f"{prefix}y", spec)


def leaves_of(form: Any) -> list[Leaf]:
    """The leaves of a part of a form, in order."""
    found: list[Leaf] = []
    _map(form, found.append)
    return found


def widened(form: Form, other: Form) -> Form | None:
    """A form that both fit, with ``None`` where sizes differ; ``None``: they differ in more than sizes."""
    ours, theirs = form.leaves(), other.leaves()
    same = len(ours) == len(theirs) and all(
        a.name == b.name and a.dtype == b.dtype and len(a.shape) == len(b.shape)
        for a, b in zip(ours, theirs, strict=True)
    )
    if not same:
        return None
    joined = iter(
        Leaf(a.name, tuple(m if m == n else None for m, n in zip(a.shape, b.shape, strict=True)), a.dtype)
        for a, b in zip(ours, theirs, strict=True)
    )
    return Form(*(_map(part, lambda _: next(joined)) for part in (form.x, form.y, form.weights)))


def _leaves(part: Any, name: str, path: str, floatx: str, found: list[tuple[str, Array]]) -> Any:
    """A part with its arrays replaced by leaves; the arrays are added to ``found``."""
    if part is None:
        return None
    if isinstance(part, Mapping):
        return {key: _leaves(value, f"{name}_{key}", f"{path}[{key!r}]", floatx, found) for key, value in part.items()}
    nested = (
        isinstance(part, (list, tuple))
        and part
        and all(item is None or is_array_like(item) or isinstance(item, (tuple, Mapping)) for item in part)
    )
    if nested:
        return tuple(_leaves(item, f"{name}_{i}", f"{path}[{i}]", floatx, found) for i, item in enumerate(part))
    array = raw_array(part, path)
    dtype = np.dtype(array.dtype).name if np.dtype(array.dtype).kind in "iub" else floatx
    if not isinstance(array, LazyRows):
        array = to_array(array, path, dtype)
    found.append((path, array))
    return Leaf(name, (None, *array.shape[1:]), dtype)


def _map(form: Any, function: Callable[[Leaf], Any]) -> Any:
    if form is None:
        return None
    if isinstance(form, Mapping):
        return {key: _map(item, function) for key, item in form.items()}
    if isinstance(form, tuple):
        return tuple(_map(item, function) for item in form)
    return function(form)


def _class_factors(table: Any, targets: Sequence[Array], path: str, whole_data: bool, floatx: str) -> Any:
    if len(targets) != 1:
        raise DataError(f"{path} weights the classes of one target, got {len(targets)}; use sample_weight.")
    labels = targets[0][:] if isinstance(targets[0], LazyRows) else targets[0]
    return class_weights_of(labels, table, path, TargetSpec("y", None, "any"), whole_data=whole_data, dtype=floatx)
