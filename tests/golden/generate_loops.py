"""Record which hooks the loops call: ``python -m tests.golden.generate_loops``."""

from tests.golden.cases.loops import CASES, run
from tests.golden.oracle import SOURCE, keras
from tests.golden.storage import save

if __name__ == "__main__":
    save("loops", {name: {"source": SOURCE, "calls": run(keras, name)} for name in CASES})
