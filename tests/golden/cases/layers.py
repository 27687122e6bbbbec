"""All layer tables, by family: one .npz each, named ``layers_<family>``."""

from tests.golden.cases import convolution, core, normalization, pooling
from tests.golden.cases.layer_case import LayerCase

FAMILIES: dict[str, list[LayerCase]] = {
    "core": core.CASES,
    "convolution": convolution.CASES,
    "pooling": pooling.CASES,
    "normalization": normalization.CASES,
    "normalization_of_samples": normalization.OF_SAMPLES,
}
