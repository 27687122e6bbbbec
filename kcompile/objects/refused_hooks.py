"""Methods that Keras calls and kcompile does not: a class that defines one is refused where it is first used.

Skipping them in silence would train or save something else than the class says. docs/overriding.md lists all hooks.
"""

from __future__ import annotations

import functools

from kcompile.common.errors import KCompileError
from kcompile.objects.registry import users_own

_SHAPES = "output shapes come from tracing call; define compute_output_shape where that fails"
_GRAPH = "a layer is traced through its call method"
_OPTIMIZER = "define update_step(self, gradient, variable), or prepare(self, updates)"
_STATE = "state that files hold are variables made with add_weight; get_config holds the rest"

REFUSED: dict[str, dict[str, str]] = {
    "Layer": {
        "compute_output_spec": _SHAPES,
        "compute_output_signature": _SHAPES,
        "symbolic_call": _GRAPH,
        "stateless_call": _GRAPH,
        "quantized_call": "export with int8=True",
        "quantized_build": "export with int8=True",
        "save_own_variables": _STATE,
        "load_own_variables": _STATE,
        "save_assets": _STATE,
        "load_assets": _STATE,
        "finalize_state": "make state in __init__ or build",
    },
    "Model": {
        "stateless_compute_loss": "define compute_loss",
        "get_compile_config": "compile again after loading, or save a model that is compiled with plain arguments",
        "compile_from_config": "compile again after loading, or save a model that is compiled with plain arguments",
    },
    "Metric": {
        "stateless_update_state": "define update_state",
        "stateless_reset_state": "define reset_state",
        "stateless_result": "define result",
        "merge_state": "batches of one machine are all given to update_state",
    },
    "Optimizer": {
        "_resource_apply_dense": _OPTIMIZER,
        "_resource_apply_sparse": _OPTIMIZER,
        "_resource_apply_sparse_duplicate_indices": _OPTIMIZER,
        "_create_slots": "make state in build(self, var_list) with add_variable_from_reference",
        "_create_all_weights": "make state in build(self, var_list) with add_variable_from_reference",
        "_prepare_local": _OPTIMIZER,
        "_compute_gradients": "define compute_gradients",
        "_transform_gradients": "define apply_gradients",
        "_transform_unaggregated_gradients": "define apply_gradients",
        "_aggregate_gradients": "define apply_gradients",
        "_clip_gradients": "define apply_gradients",
        "_apply_weight_decay": "define apply_gradients or update_step",
        "_backend_update_step": _OPTIMIZER,
        "_internal_apply_gradients": "define apply_gradients",
        "aggregate_gradients": "there is one machine; define apply_gradients",
        "exclude_from_weight_decay": "define apply_gradients or update_step",
        "finalize_variable_values": "assign what training shall end with after fit",
        "scale_loss": "multiply the loss in compute_loss",
        "stateless_apply": "define apply_gradients",
        "save_own_variables": _STATE,
        "load_own_variables": _STATE,
    },
}


def refuse_hooks(cls: type, kind: str) -> None:
    """Refuse a class that defines a hook that nothing calls.

    Args:
        cls: a user's class.
        kind: the key in :data:`REFUSED`.

    Raises:
        ValueError: it does.
    """
    _refuse(cls, kind)


@functools.cache
def _refuse(cls: type, kind: str) -> None:
    for name, advice in REFUSED[kind].items():
        if getattr(cls, name, None) is not None:
            raise KCompileError(f"{cls.__name__} overrides {name}, which nothing calls here: {advice}")


def refuse_ignored_call(cls: type) -> None:
    """Refuse a class of models that are made of layers, or of inputs and outputs, and that defines ``call`` too.

    Raises:
        ValueError: it does.
    """
    if users_own(cls, "call"):
        raise KCompileError(
            f"{cls.__name__} overrides call, which nothing calls here: what its __init__ gives to super().__init__ "
            "says what runs; leave one of them out (a model of inputs and outputs can be an attribute of one with call)"
        )
