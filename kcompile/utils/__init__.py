"""keras.utils: small tools around models and data."""

from kcompile.utils.np_utils import normalize, to_categorical
from kcompile.utils.progbar import Progbar
from kcompile.utils.sequence import GeneratorEnqueuer, OrderedEnqueuer, Sequence

__all__ = ["GeneratorEnqueuer", "OrderedEnqueuer", "Progbar", "Sequence", "normalize", "to_categorical"]
