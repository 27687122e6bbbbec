"""Make environments with other versions of ONNX Runtime, for ``tests/test_runtimes.py``.

    python tools/make_runtimes.py FOLDER 1.18.1 1.20.1 1.22.1 1.24.4 1.27.0 1.31.1 1.32.0
    export KCOMPILE_RUNTIMES=...         # what the last line says
    python -m pytest -m runtimes tests/test_runtimes.py

Each gets an environment of its own with nothing but onnxruntime and NumPy (about 100 MB), made with the interpreter
that runs this: Python 3.11 has wheels of all these versions. Those that are there already are kept.
"""

import os
import subprocess
import sys
import venv
from pathlib import Path

NUMPY_2 = (1, 19)
"""The first version that runs with NumPy 2."""


def main() -> int:
    folder, versions = Path(sys.argv[1]).resolve(), sys.argv[2:]
    interpreters = []
    for version in versions:
        place = folder / f"onnxruntime-{version}"
        python = place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        interpreters.append(str(python))
        if not python.exists():
            venv.create(place, with_pip=True)
            old = tuple(map(int, version.split(".")[:2])) < NUMPY_2
            packages = [f"onnxruntime=={version}", "numpy<2" if old else "numpy"]
            subprocess.run([str(python), "-m", "pip", "install", "--quiet", *packages], check=True)
    print(f"export KCOMPILE_RUNTIMES={os.pathsep.join(interpreters)}")
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sys.exit(main())
