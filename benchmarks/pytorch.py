"""The same models in PyTorch, trained by a loop written by hand. Runs in PyTorch's environment.

Eager mode, channel-first data, the fused or foreach optimizer, no DataLoader (a shuffled index an epoch), and
the running loss and accuracy that Keras keeps (of an autoencoder, the loss), read once per epoch: what an
experienced user writes.
"""
# ruff: noqa: TID251 - the product may not import PyTorch; this file is a peer

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks import models
from benchmarks.training import timed_epochs


def mlp_small() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def mlp() -> nn.Module:
    return nn.Sequential(
        nn.Linear(784, 512), nn.ReLU(), nn.Dropout(0.2),
        nn.Linear(512, 512), nn.ReLU(), nn.Dropout(0.2),
        nn.Linear(512, 10),
    )  # fmt: skip


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(),
        nn.Conv2d(32, 64, 3), nn.ReLU(),
        nn.MaxPool2d(2), nn.Dropout(0.25), nn.Flatten(),
        nn.Linear(64 * 12 * 12, 128), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(128, 10),
    )  # fmt: skip


def cifar() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(),
        nn.Conv2d(32, 32, 3), nn.ReLU(),
        nn.MaxPool2d(2), nn.Dropout(0.25),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(),
        nn.Conv2d(64, 64, 3), nn.ReLU(),
        nn.MaxPool2d(2), nn.Dropout(0.25), nn.Flatten(),
        nn.Linear(64 * 6 * 6, 512), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(512, 10),
    )  # fmt: skip


def autoencoder() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Upsample(scale_factor=2),
        nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Upsample(scale_factor=2),
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(),
        nn.Conv2d(16, 1, 3, padding=1),
    )  # fmt: skip


class Conv1dNetwork(nn.Module):
    """imdb_cnn."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5000, 50)
        self.convolution = nn.Conv1d(50, 250, 3)
        self.head = nn.Sequential(nn.Linear(250, 250), nn.Dropout(0.2), nn.ReLU(), nn.Linear(250, 1))

    def forward(self, x: Tensor) -> Tensor:
        y = functional.dropout(self.embedding(x), 0.2, self.training).transpose(1, 2)
        return self.head(functional.relu(self.convolution(y)).amax(dim=2))


class LstmNetwork(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20000, 128)
        self.lstm = nn.LSTM(128, 128, batch_first=True)
        self.head = nn.Linear(128, 1)

    def forward(self, x: Tensor) -> Tensor:
        _, (h, _) = self.lstm(self.embedding(x))
        return self.head(h[0])


class GruNetwork(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(40, 64, num_layers=2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        _, h = self.gru(x)
        return self.head(torch.cat((h[-2], h[-1]), dim=1))


class Block(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, channels: int, filters: int, stride: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(channels, filters, 3, stride, padding=1), nn.BatchNorm2d(filters), nn.ReLU(),
            nn.Conv2d(filters, filters, 3, padding=1), nn.BatchNorm2d(filters),
        )  # fmt: skip
        self.shortcut = nn.Conv2d(channels, filters, 1, stride) if stride == 2 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.main(x) + self.shortcut(x))


def resnet(depth: int) -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()]
    channels = 16
    for stack, filters in enumerate((16, 32, 64)):
        for block in range((depth - 2) // 6):
            layers.append(Block(channels, filters, 2 if stack > 0 and block == 0 else 1))
            channels = filters
    return nn.Sequential(*layers, nn.AvgPool2d(8), nn.Flatten(), nn.Linear(64, 10))


def build(name: str) -> nn.Module:
    """The network of this name; its outputs are logits."""
    architectures = {
        "mlp_small": mlp_small, "mlp": mlp, "cnn": cnn, "cifar": cifar, "autoencoder": autoencoder,
        "conv1d": Conv1dNetwork, "lstm": LstmNetwork, "gru": GruNetwork,
    }  # fmt: skip
    if name in architectures:
        return architectures[name]()
    if not name.startswith("resnet"):
        raise ValueError(f"no network by hand for {name!r}")
    return resnet(int(name.removeprefix("resnet")))


def inputs(x: np.ndarray) -> Tensor:
    """A tensor of the samples, images channel-first."""
    tensor = torch.from_numpy(x)
    return tensor.permute(0, 3, 1, 2).contiguous() if tensor.ndim == 4 else tensor


def predictor(name: str) -> Callable[[np.ndarray], np.ndarray]:
    """The network in inference mode; turning images channel-first is part of the call."""
    network = build(name).eval()

    def call(x: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return network(inputs(x)).numpy()

    return call


class Training:
    """One model trained by a hand-written loop on the data that the other peers get."""

    def __init__(self, name: str, threads: int) -> None:
        torch.manual_seed(0)
        self.name = name
        self.benchmark = models.find(name)
        x, y = models.data(name, self.benchmark.steps * self.benchmark.batch_size)
        self.x = inputs(x)
        if self.benchmark.reconstructs:
            self.y = self.x
        else:
            self.y = torch.from_numpy(y if self.benchmark.classes == 1 else y.argmax(axis=1))

    def prepare(self) -> dict[str, float]:
        start = time.perf_counter()
        self.network = build(self.name)
        rate = self.benchmark.learning_rate
        weights = list(self.network.parameters())
        if self.benchmark.optimizer == "Adam":
            self.optimizer = torch.optim.Adam(weights, rate, eps=1e-7, fused=True)
        else:
            self.optimizer = torch.optim.RMSprop(weights, rate, alpha=0.9, eps=1e-7, foreach=True)
        self.kernels = [weight for weight in weights if weight.ndim == 4]
        built = time.perf_counter()
        batch = self.benchmark.batch_size
        self.step(self.x[:batch], self.y[:batch])
        first = time.perf_counter()
        self.epoch()
        return {"build": built - start, "first step": first - start}

    def step(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """One update; the loss and the number of right answers."""
        self.optimizer.zero_grad(set_to_none=True)
        logits = self.network(x)
        right = torch.zeros((), dtype=torch.int64)
        if self.benchmark.reconstructs:
            loss = functional.binary_cross_entropy_with_logits(logits, y)
        elif self.benchmark.classes == 1:
            loss = functional.binary_cross_entropy_with_logits(logits, y)
            right = ((logits > 0) == (y > 0.5)).sum()
        else:
            loss = functional.cross_entropy(logits, y)
            right = (logits.argmax(dim=1) == y).sum()
        if self.name.startswith("resnet"):
            loss = loss + models.WEIGHT_DECAY * sum(weight.square().sum() for weight in self.kernels)
        loss.backward()
        self.optimizer.step()
        return loss.detach(), right

    def epoch(self) -> dict[str, float]:
        self.network.train()
        total, right = torch.zeros(()), torch.zeros((), dtype=torch.int64)
        for rows in torch.randperm(len(self.x)).split(self.benchmark.batch_size):
            loss, correct = self.step(self.x[rows], self.y[rows])
            total += loss
            right += correct
        return {"loss": total.item() / self.benchmark.steps, "accuracy": right.item() / len(self.x)}

    def round(self, seconds: float) -> dict[str, list[float]]:
        return timed_epochs(self.epoch, seconds, self.benchmark.steps)
