"""Record the losses of random convolutional networks: ``python -m tests.golden.generate_convolution_steps``."""

from tests.golden.cases.convolution_steps import COUNT, losses
from tests.golden.oracle import SOURCE, keras
from tests.golden.storage import save

if __name__ == "__main__":
    found = [losses(keras, number).tolist() for number in range(COUNT)]
    save("convolution_steps", {"all": {"source": SOURCE, "losses": found}})
