"""Models to files and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kcompile.common.tracebacks import short_traceback

if TYPE_CHECKING:
    from kcompile.saving.hdf5.models import LoadedFrom


class SavingMethods:
    """``save``, ``save_weights`` and ``load_weights``; a part of :class:`~kcompile.models.model.Model`."""

    loaded: LoadedFrom | None = None
    """Where a model that was loaded comes from."""

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
        from kcompile.saving.models import save_model

        save_model(self, filepath, overwrite, include_optimizer, save_format)  # type: ignore[arg-type]  # a part of Model

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
        from kcompile.saving.models import save_weights

        save_weights(self, filepath, overwrite, save_format)  # type: ignore[arg-type]  # a part of Model

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
        from kcompile.saving.models import load_weights

        load_weights(self, filepath, by_name, skip_mismatch, reshape)  # type: ignore[arg-type]  # a part of Model
