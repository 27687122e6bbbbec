"""keras.callbacks: what runs between epochs and batches."""

from kcompile.callbacks.base import Callback
from kcompile.callbacks.callback_list import CallbackList
from kcompile.callbacks.csv_logger import CSVLogger
from kcompile.callbacks.history import BaseLogger, History
from kcompile.callbacks.lambda_callback import LambdaCallback
from kcompile.callbacks.learning_rate import LearningRateScheduler, ReduceLROnPlateau
from kcompile.callbacks.logs import BatchLogs
from kcompile.callbacks.model_checkpoint import ModelCheckpoint
from kcompile.callbacks.progbar_logger import ProgbarLogger
from kcompile.callbacks.remote_monitor import RemoteMonitor
from kcompile.callbacks.stopping import EarlyStopping, TerminateOnNaN
from kcompile.common.absent_names import absent

__getattr__ = absent(__name__)

__all__ = [
    "BaseLogger",
    "BatchLogs",
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ProgbarLogger",
    "ReduceLROnPlateau",
    "RemoteMonitor",
    "TerminateOnNaN",
]
