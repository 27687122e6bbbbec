"""Continue a training that kcompile exported, with nothing but onnxruntime and numpy.

    python continue_training.py TRAINING_FOLDER BATCHES.npz RESULT.npz

BATCHES.npz holds one array per input of the training step, with the steps as its first axis. The result holds the loss
of each step and the state after the last one. Start from here in any language: feed the batch and the state, run, and
put the outputs back where the manifest says.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime

folder = Path(sys.argv[1])
manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
blob = (folder / manifest["state_file"]).read_bytes()
state = {}
for entry in manifest["state"]:
    data = blob[entry["offset"] : entry["offset"] + entry["bytes"]]
    state[entry["name"]] = np.frombuffer(data, np.dtype(entry["dtype"]).newbyteorder("<")).reshape(entry["shape"])

step = manifest["train_step"]
session = onnxruntime.InferenceSession(folder / step["file"], providers=["CPUExecutionProvider"])
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
