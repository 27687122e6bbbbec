"""Record files of both versions of Keras with attention layers: ``python -m tests.golden.generate_attention_files``."""

import tempfile
from pathlib import Path
from typing import Any

import keras as keras_3

from tests.golden import data
from tests.golden.oracle import keras, np
from tests.golden.storage import save


def model_of(library: Any) -> Any:
    """A model with all of them; embedded words are masked."""
    layers, is_3 = library.layers, library is keras_3
    query, value, words = layers.Input((5, 4)), layers.Input((6, 3)), layers.Input((7,))
    later = {"use_gate": True, "seed": 3, "sliding_window": 4} if is_3 else {}
    heads = layers.MultiHeadAttention(2, 3, value_dim=4, output_shape=2, dropout=0.1, **later)
    found = [*heads(query, value, key=value, return_attention_scores=True)]
    if is_3:
        found.append(layers.GroupQueryAttention(3, 4, 2, dropout=0.1)(query, query, use_causal_mask=True))
    projected = layers.EinsumDense("abc,cd->abd", (None, 4), bias_axes="d")(value)
    found.append(layers.Attention(use_scale=True, score_mode="concat")([query, projected]))
    found.append(layers.AdditiveAttention(dropout=0.1)([query, projected, projected]))
    x = layers.Embedding(9, 4, mask_zero=True)(words)
    x = layers.MultiHeadAttention(2, 3)(x, x)
    x = layers.Attention()([x, x])
    found.append(layers.Identity()(layers.GlobalAveragePooling1D()(x)))
    return library.Model([query, value, words], found)


def main() -> None:
    x = [data.normal((3, 5, 4), "query"), data.normal((3, 6, 3), "value")]
    x.append(data.integers((3, 7), 9, "words").astype("float32"))
    records = {}
    for library in (keras, keras_3):
        library.backend.clear_session()
        model = model_of(library)
        model.set_weights([data.normal(w.shape, "weight", i, scale=0.3) for i, w in enumerate(model.get_weights())])
        outputs = model.predict(x, verbose=0)
        for kind in ("h5", "keras", "weights.h5"):
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / f"model.{kind}"
                model.save_weights(path) if kind == "weights.h5" else model.save(path)
                content = np.frombuffer(path.read_bytes(), "uint8")
            fields = {"inputs": x, "outputs": [np.asarray(y) for y in outputs], "file": [content]}
            records[f"{library.__name__}.{kind}"] = fields
    path = save("attention_files", records)
    print(f"{path.name}: {len(records)} files, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
