"""Text generation: an LSTM reads mails letter by letter, and then writes some.

    python examples/text_generation.py                  # four minutes: the wanted mails of the SpamAssassin corpus
    python examples/text_generation.py --text FILE      # any other text
    python examples/text_generation.py --quick          # seconds, on a sample: shows the way, writes nonsense

The model that is trained predicts each next sign of many pieces of text at once. The one that writes has the same
layers, but is stateful and sees one sign at a time: its states go from call to call. It is exported too: there the
states are inputs and outputs, and the last lines of this file write with ONNX Runtime alone.

The number that tells how good a model of text is: bits per sign, on the last twentieth of the text, which it was not
trained on. What compressors need for the whole text is printed too.
"""

from __future__ import annotations

import argparse
import bz2
import gzip
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import mails
import numpy as np

from kcompile import Model, Sequential, optimizers
from kcompile.layers import LSTM, Dense, Embedding

UNKNOWN = 0


def alphabet(text: str, size: int = 95) -> list[str]:
    """The most frequent signs; number 0 stands for all others."""
    return ["\ufffd", *sorted(sign for sign, _ in Counter(text).most_common(size))]


def numbers(text: str, signs: Sequence[str]) -> np.ndarray:
    """The numbers of the signs of a text."""
    index = {sign: i for i, sign in enumerate(signs)}
    return np.array([index.get(sign, UNKNOWN) for sign in text], np.int32)


def pieces(data: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Pieces of ``length`` signs, and for each sign the one that follows."""
    count = (len(data) - 1) // length
    return data[: count * length].reshape(count, length), data[1 : count * length + 1].reshape(count, length)


def build(signs: int, units: int, layers: int, stateful: bool = False) -> Model:
    """Signs to the probabilities of the next ones; stateful: one sign of one text at a time."""
    shape = {"batch_input_shape": (1, 1)} if stateful else {"input_shape": (None,)}
    model = Sequential([Embedding(signs, 32, **shape)])
    for _ in range(layers):
        model.add(LSTM(units, return_sequences=True, stateful=stateful))
    model.add(Dense(signs, activation="softmax"))
    return model


def write(predict: Callable[[int], np.ndarray], first: Sequence[int], length: int, temperature: float) -> list[int]:
    """Numbers of the signs that a model continues ``first`` with, drawn from its predictions."""
    found: list[int] = []
    for i in range(len(first) + length - 1):
        p = predict(first[i] if i < len(first) else found[-1]).astype(np.float64)
        if i >= len(first) - 1:
            p[UNKNOWN] = 0
            p = p ** (1 / temperature)
            found.append(int(np.random.choice(len(p), p=p / p.sum())))
    return found


def main(arguments: Sequence[str] | None = None) -> float:
    """Train, write, export; the bits per sign on text that was not trained on."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small sample and a small model")
    parser.add_argument("--text", type=Path, help="a text file to learn from, instead of mails")
    parser.add_argument("--epochs", type=int, help="default: 6, with --quick 2")
    parser.add_argument("--signs", type=int, default=1_000_000, help="how much of the text is used; default: 1,000,000")
    parser.add_argument("--temperature", type=float, default=0.7, help="below 1: likelier signs; default: 0.7")
    parser.add_argument("--output", default="writer.onnx", help="where the writing model goes; default: writer.onnx")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    np.random.seed(options.seed)
    if options.text:
        text = options.text.read_text(encoding="utf-8", errors="replace")
    else:
        wanted = [mail for mail in mails.load(sample=options.quick) if not mail.is_spam]
        text = "\n\n".join(f"{mail.subject}\n{mail.body}" for mail in wanted)
    text = text[: options.signs]
    signs = alphabet(text)
    data = numbers(text, signs)
    cut = len(data) * 19 // 20
    units, layers, length, batch = (24, 1, 25, 8) if options.quick else (192, 1, 100, 16)
    x, y = pieces(data[:cut], length)
    held_out = pieces(data[cut:], length)
    print(f"{len(data):,} signs, {len(signs)} different ones; {len(x):,} pieces to learn from")
    for compressor in (gzip, bz2):
        packed = len(compressor.compress(text.encode()))
        print(f"{compressor.__name__}: {8 * packed / len(text):.2f} bits for each")

    model = build(len(signs), units, layers)
    model.compile(optimizers.Adam(0.004), "sparse_categorical_crossentropy")
    writer = build(len(signs), units, layers, stateful=True)
    first = numbers("I think that ", signs).tolist()
    begun, epochs, bits = time.perf_counter(), options.epochs or (2 if options.quick else 6), 0.0
    for epoch in range(epochs):
        model.optimizer.lr = 0.004 * (1 - epoch / epochs) + 0.0001
        model.fit(x, y, batch_size=batch, verbose=0)
        bits = float(model.evaluate(*held_out, batch_size=batch, verbose=0) / np.log(2))
        writer.set_weights(model.get_weights())
        writer.reset_states()
        found = write(lambda sign: writer.predict_on_batch(np.array([[sign]]))[0, 0], first, 150, options.temperature)
        told = "".join(signs[i] for i in first + found).replace("\n", " / ")
        print(f"epoch {epoch + 1}, {time.perf_counter() - begun:.0f} s: {bits:.2f} bits per sign; it writes: {told}")
    writer.reset_states()
    writer.export(options.output)
    write_in_onnxruntime(options.output, first, signs, options.temperature)
    return bits


def write_in_onnxruntime(path: str, first: Sequence[int], signs: Sequence[str], temperature: float) -> None:
    """Write with the exported file and nothing but ONNX Runtime: each state goes out and in again."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    sign, *states = session.get_inputs()
    held = {state.name: np.zeros(state.shape, np.float32) for state in states}

    def predict(number: int) -> np.ndarray:
        p, *after = session.run(None, {sign.name: np.array([[number]], np.int32), **held})
        held.update(zip(held, after, strict=True))
        return np.asarray(p)[0, 0]

    found = write(predict, first, 60, temperature)
    print(f"{path} writes in ONNX Runtime alone: " + "".join(signs[i] for i in found).replace("\n", " / "))


if __name__ == "__main__":
    main()
