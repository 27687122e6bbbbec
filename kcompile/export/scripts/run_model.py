"""Run an exported model, with nothing but onnxruntime and numpy.

    python run_model.py MODEL.onnx INPUTS.npz OUTPUTS.npz

INPUTS.npz holds one array per input of the model; the result holds one per output.
"""

import sys

import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
arrays = np.load(sys.argv[2])
names = [item.name for item in session.get_outputs()]
outputs = session.run(names, {item.name: arrays[item.name] for item in session.get_inputs()})
np.savez(sys.argv[3], **dict(zip(names, outputs, strict=True)))
