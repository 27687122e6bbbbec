"""Continue a training that kcompile exported, with nothing but onnxruntime and numpy.

    python continue_training.py TRAINING_FOLDER BATCHES.npz RESULT.npz
    python continue_training.py TRAINING_FOLDER BATCHES.npz RESULT.npz --save

BATCHES.npz holds one array per input of the training step, with the steps as its first axis. The result holds the loss
of each step and the state after the last one, which ``model.load_state("RESULT.npz")`` reads. With --save the state
goes into the folder as well, where the next run, or ``model.load_state("TRAINING_FOLDER")``, goes on from it.

Start from here in any language: feed the batch and the state, run, and put the outputs back where the manifest says.
"""

import hashlib
import json
import os
import sys
from pathlib import Path

import numpy as np
import onnxruntime


def read(folder, attempts=5):
    """The manifest, the state and the training step, of one export: read again if another replaces it meanwhile."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    try:
        names = [manifest["state_file"], manifest["train_step"]["file"]]
        blob, step = ((folder / name).read_bytes() for name in names)
        for name, data in zip(names, (blob, step), strict=True):
            if hashlib.sha256(data).hexdigest() != manifest["files"][name]["sha256"]:
                raise ValueError(f"{name} is not what the manifest says")
        return manifest, blob, step
    except (FileNotFoundError, ValueError):
        if attempts == 1:
            raise
        return read(folder, attempts - 1)


def replace(path, data):
    """Write a file beside its place, and rename it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with open(temporary, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def save(folder, manifest, state):
    """Put the state into the folder: first the file, called by its digest; then the manifest, which names it."""
    data = b"".join(
        np.asarray(state[entry["name"]], np.dtype(entry["dtype"]).newbyteorder("<")).tobytes()
        for entry in manifest["state"]
    )
    digest = hashlib.sha256(data).hexdigest()
    name, old = f"state.{digest[:16]}.bin", manifest["state_file"]
    replace(folder / name, data)
    files = {key: value for key, value in manifest["files"].items() if key != old}
    files[name] = {"bytes": len(data), "sha256": digest}
    changed = {**manifest, "state_file": name, "files": files, "previous_files": [old] if old != name else []}
    replace(folder / "manifest.json", json.dumps(changed, indent=2).encode())
    for stale in set(manifest["previous_files"]) - set(files) - {old}:
        (folder / stale).unlink(missing_ok=True)


folder = Path(sys.argv[1])
manifest, blob, model = read(folder)
state = {}
for entry in manifest["state"]:
    data = blob[entry["offset"] : entry["offset"] + entry["bytes"]]
    state[entry["name"]] = np.frombuffer(data, np.dtype(entry["dtype"]).newbyteorder("<")).reshape(entry["shape"])

step = manifest["train_step"]
# A model with large weights beside it is loaded from its file; any other from what was checked.
outside = any(name.endswith(".data") for name in manifest["files"])
source = str(folder / step["file"]) if outside else model
session = onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"])
batches = np.load(sys.argv[2])
inputs = {item["name"]: batches[item["name"]] for item in step["inputs"]}
losses = []
for number in range(len(next(iter(inputs.values())))):
    feeds = {name: array[number] for name, array in inputs.items()}
    feeds.update({name: state[name] for name in step["state_inputs"]})
    loss, *following = session.run(["loss", *step["state_outputs"]], feeds)
    state.update(zip(step["state_outputs"].values(), following, strict=True))
    losses.append(loss)

np.savez(sys.argv[3], **{f"state:{name}": array for name, array in state.items()}, losses=np.array(losses))
if "--save" in sys.argv[4:]:
    save(folder, manifest, state)
