"""Models to files and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kcompile.common.tracebacks import short_traceback
from kcompile.engine.network import Network

if TYPE_CHECKING:
    from kcompile.saving.hdf5.models import LoadedFrom


class SavingMethods(Network):
    """``to_json``, ``to_yaml``, ``save``, ``save_weights`` and ``load_weights``."""

    loaded: LoadedFrom | None = None
    """Where a model that was loaded comes from."""

    @short_traceback
    def to_json(self, keras_version: int = 2, **kwargs: Any) -> str:
        """The architecture as JSON.

        Args:
            keras_version: 2: for Keras 2, tf.keras and kcompile; 3: for Keras 3 and kcompile.
            kwargs: those of ``json.dumps``.

        Raises:
            NotImplementedError: a subclassed model. ValueError: something that no file can describe.
        """
        from kcompile.saving import architecture

        return architecture.to_json(self, keras_version, **kwargs)

    @short_traceback
    def to_yaml(self, **kwargs: Any) -> str:
        """The architecture as YAML; ``kwargs`` are those of ``yaml.safe_dump``."""
        from kcompile.saving import architecture

        return architecture.to_yaml(self, **kwargs)

    @short_traceback
    def save(
        self, filepath: Any, overwrite: bool = True, include_optimizer: bool = True, save_format: str | None = None
    ) -> None:
        """Write architecture, weights, training configuration and the optimizer's state, so that training can go on.

        Args:
            filepath: a path: ``.keras`` gives the archive of Keras 3, any other name HDF5; an ``h5py.Group``; or a
                binary file object. What is there is replaced only once the new file is complete.
            overwrite: whether a file of that name is replaced; if not, the terminal is asked.
            include_optimizer: with the training configuration and the optimizer's state.
            save_format: ``h5`` or ``keras``, in place of the name's ending; ``tf_keras``: an archive for tf.keras 2.13
                and later, where ``keras`` is that of Keras 3.

        Raises:
            OSError: it cannot be written.
            ValueError: the model computes with variables outside of layers; save its weights, or export it.
        """
        from kcompile.saving import models

        models.save_model(self, filepath, overwrite, include_optimizer, save_format)

    def check_saving_to(self, filepath: Any) -> None:
        """Raise what :meth:`save` would, as far as it is known before there is anything to write.

        Raises:
            ValueError, NotImplementedError: as :meth:`save`.
        """
        from kcompile.saving import models

        models.check_saving_to(self, filepath)

    @short_traceback
    def save_weights(self, filepath: Any, overwrite: bool = True, save_format: str | None = None) -> None:
        """Write all weights, of any model that is built.

        Args:
            filepath: a path: ``.weights.h5`` gives the layout of Keras 3, ``.npz`` NumPy's archive of arrays, any other
                name the HDF5 layout of Keras 1 and 2; an ``h5py.Group``; or a binary file object.
            overwrite: whether a file of that name is replaced; if not, the terminal is asked.
            save_format: ``h5``: the HDF5 layout of Keras 2, whatever the name.

        Raises:
            OSError: it cannot be written. ValueError: the model is not built.
        """
        from kcompile.saving import models

        models.save_weights(self, filepath, overwrite, save_format)

    @short_traceback
    def load_weights(
        self, filepath: Any, by_name: bool = False, skip_mismatch: bool = False, reshape: bool = False
    ) -> None:
        """Load weights from a file that any version of Keras wrote: weights alone, or a whole model.

        All weights are loaded, or none.

        Args:
            filepath: a path, a binary file object, or an ``h5py.Group``.
            by_name: load into layers of the same names and leave all others, in place of all layers in order (HDF5 of
                Keras 1 and 2).
            skip_mismatch: leave layers whose weights do not fit as they are, with a warning (all but ``.npz``).
            reshape: arrays of the right size but another shape are reshaped (HDF5 of Keras 1 and 2).

        Raises:
            OSError: it cannot be opened.
            ValueError: layers or shapes that differ, all of them named; a damaged or unsafe file.
        """
        from kcompile.saving import models

        models.load_weights(self, filepath, by_name, skip_mismatch, reshape)
