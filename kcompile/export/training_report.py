"""What ``export_training`` wrote."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class TrainingReport:
    """What :func:`~kcompile.export.export_training` wrote.

    Attributes:
        folder: where.
        manifest: the file that names the others.
        files: the others by what they are: ``train_step``, ``eval_step``, ``model``, ``state``, and ``model_weights``
            or the like for weights that are too large to be part of a model.
        opset: of the models.
        parameters: how many numbers the model's weights have.
        state: how many tensors the state has: weights, slots of the optimizer, counters, metrics.
        inputs: what the training step takes besides the state.
        notes: what is to be known, a sentence each.
    """

    folder: Path
    manifest: Path
    files: dict[str, Path]
    opset: int
    parameters: int
    state: int
    inputs: list[str]
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        size = sum(path.stat().st_size for path in (self.manifest, *self.files.values()) if path.exists())
        lines = [f"{self.folder}: opset {self.opset}, {size:,} bytes in {len(self.files) + 1} files"]
        lines += [f"  {kind}: {path.name}" for kind, path in {**self.files, "manifest": self.manifest}.items()]
        lines.append(f"{self.parameters:,} parameters, {self.state} tensors of state; feed {', '.join(self.inputs)}")
        return "\n".join([*lines, *self.notes])
