"""A model made of paper, and a loop like fit's around it, for the tests of callbacks."""

from kcompile.callbacks import (
    CallbackList,
    History,
)


class Optimizer:
    def __init__(self, lr=0.1):
        self.lr = lr


class Model:
    """Its weights are the number of the epoch that it was trained for last."""

    def __init__(self):
        self.optimizer = Optimizer()
        self.stop_training = False
        self.weights = None
        self.saved = []

    def get_weights(self):
        return [self.weights]

    def set_weights(self, weights):
        (self.weights,) = weights

    def save(self, path, overwrite=True):
        self.saved.append(path)

    def save_weights(self, path, overwrite=True):
        self.saved.append(("weights", path))


def train(callbacks, values, name="val_loss", model=None, batches=1, validates=True, verbose=0):
    """Run one epoch per entry of `values`, logging it as `name`; returns model and history."""
    model = model or Model()
    history = History()
    everything = CallbackList([*callbacks, history])
    everything.set_model(model)
    metrics = ["loss", "acc", "val_loss", "val_acc"] if validates else ["loss", "acc"]
    everything.set_params(
        {
            "epochs": len(values), "steps": batches, "samples": 4 * batches, "verbose": verbose,
            "do_validation": validates, "metrics": metrics,
        }
    )  # fmt: skip
    with everything.training():
        for epoch, value in enumerate(values):
            everything.on_epoch_begin(epoch)
            model.weights = epoch
            for batch in range(batches):
                everything.on_train_batch_begin(batch, {"batch": batch, "size": 4})
                everything.on_train_batch_end(batch, {"batch": batch, "size": 4, "loss": value})
                if model.stop_training:
                    break
            everything.on_epoch_end(epoch, {"loss": 1.0, name: value})
            if model.stop_training:
                break
    return model, history
