"""``import kcompile.as_keras``, before Keras is imported: from then on ``keras`` and its modules are kcompile's.

A script that says ``from keras.layers import Dense`` runs unchanged. An entry in ``sys.modules`` would not do: modules
below it would be loaded a second time, with classes of their own.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

import kcompile
from kcompile.common.errors import KCompileError


class _Alias(MetaPathFinder, Loader):
    """Gives the module of kcompile for the same one of Keras."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        top, _, rest = fullname.partition(".")
        if top != "keras":
            return None
        ours = f"kcompile.{rest}" if rest else "kcompile"
        found = importlib.util.find_spec(ours)
        if found is None:
            return None
        package = found.submodule_search_locations is not None
        return ModuleSpec(fullname, self, loader_state=ours, is_package=package)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(spec.loader_state)
        spec.loader_state = module.__spec__  # which the import of an alias replaces
        return module

    def exec_module(self, module: ModuleType) -> None:
        alias = module.__spec__
        assert alias is not None
        module.__spec__ = alias.loader_state


if sys.modules.get("keras") not in (None, kcompile):
    raise KCompileError("keras is imported already; import kcompile.as_keras before it")
if not any(isinstance(finder, _Alias) for finder in sys.meta_path):
    sys.meta_path.insert(0, _Alias())
