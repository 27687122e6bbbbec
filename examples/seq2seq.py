"""Sequence to sequence: spell words backwards, letter by letter, with an encoder and a decoder.

    python examples/seq2seq.py                  # a minute on one core: 98 % of unseen words of real mails right
    python examples/seq2seq.py --text FILE      # words of another text
    python examples/seq2seq.py --quick          # seconds, on a sample: shows the way, learns little

For training, one model reads a word (encoder) and is told the right letters so far when it predicts the next one
(decoder, teacher forcing). For inference, the same layers make two models, as in Keras' lstm_seq2seq: the encoder gives
its last states, and the decoder is run for one letter at a time, states in, states out. Both are exported. Words that
are tested are never seen in training.
"""

from __future__ import annotations

import argparse
import re
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import mails
import numpy as np

from kcompile import Input, Model, optimizers
from kcompile.layers import LSTM, Dense, Embedding

PADDING, START, END = 0, 1, 2
LETTERS = "abcdefghijklmnopqrstuvwxyz"
INDEX = {letter: i for i, letter in enumerate(LETTERS, start=3)}
SYMBOLS = len(LETTERS) + 3
LONGEST = 10


def words_of(text: str) -> list[str]:
    """The words of 3 to 10 letters, the most frequent first."""
    found = re.findall(rf"\b[a-z]{{3,{LONGEST}}}\b", text.lower())
    return [word for word, _ in Counter(found).most_common()]


def indices(words: Sequence[str], start: bool = False, end: bool = False) -> np.ndarray:
    """Rows of letters as numbers, zeros after the last."""
    x = np.full((len(words), LONGEST + 1), PADDING, np.int32)
    for row, word in zip(x, words, strict=True):
        numbers = [START] * start + [INDEX[letter] for letter in word] + [END] * end
        row[: len(numbers)] = numbers
    return x


def spelled(numbers: Sequence[int]) -> str:
    """The letters before the first sign that is none."""
    letters = []
    for number in numbers:
        if number <= END:
            break
        letters.append(LETTERS[number - 3])
    return "".join(letters)


def build(units: int) -> tuple[Model, Model, Model]:
    """The model for training, and encoder and decoder for inference, which share its weights."""
    # 1. Training: the decoder starts from the encoder's states and sees the right letters. Padding is masked, so that
    #    it counts in the loss as little as in the states.
    source, target = Input((None,), dtype="int32", name="word"), Input((None,), dtype="int32", name="letters_so_far")
    letters = Embedding(SYMBOLS, 32, mask_zero=True)
    _, *states = LSTM(units, return_state=True, name="encoder")(letters(source))
    decoder = LSTM(units, return_sequences=True, return_state=True, name="decoder")
    to_letter = Dense(SYMBOLS, activation="softmax", name="next_letter")
    ys, *_ = decoder(letters(target), initial_state=states)
    training = Model([source, target], to_letter(ys))
    # 2. Inference: the same layers, cut in two.
    encoder = Model(source, states)
    before = [Input((units,), name=name) for name in ("h", "c")]
    letter = Input((1,), dtype="int32", name="letter")
    ys, *after = decoder(letters(letter), initial_state=before)
    step = Model([letter, *before], [to_letter(ys), *after])
    return training, encoder, step


def decode(encoder: Model, step: Model, x: np.ndarray) -> list[str]:
    """The most probable letters, one at a time, for all words at once."""
    states = encoder.predict(x, batch_size=512)
    letter = np.full((len(x), 1), START, np.int32)
    found = []
    for _ in range(LONGEST):
        p, *states = step.predict([letter, *states], batch_size=512)
        letter = p[:, -1].argmax(axis=-1).astype(np.int32)[:, None]
        found.append(letter)
    return [spelled(row) for row in np.concatenate(found, axis=1)]


def main(arguments: Sequence[str] | None = None) -> float:
    """Train, test, export; the part of the unseen words that is spelled right."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small sample and a small model")
    parser.add_argument("--text", type=Path, help="a text file to take words from, instead of mails")
    parser.add_argument("--epochs", type=int, help="default: 10, with --quick 3")
    parser.add_argument("--output", type=Path, default=Path(), help="folder of encoder.onnx and decoder.onnx")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    np.random.seed(options.seed)
    if options.text:
        text = options.text.read_text(encoding="utf-8", errors="replace")
    else:
        data = mails.load(sample=options.quick)
        text = "\n".join(f"{mail.subject}\n{mail.body}" for mail in data if not mail.is_spam)
    words = words_of(text)[:12000]
    order = np.random.permutation(len(words))
    test, train = ([words[i] for i in part] for part in (order[: len(words) // 10], order[len(words) // 10 :]))
    print(f"{len(train)} words to learn from, {len(test)} others to test on")

    training, encoder, step = build(32 if options.quick else 128)
    training.compile(optimizers.Adam(0.003), "sparse_categorical_crossentropy")
    backwards = [word[::-1] for word in train]
    inputs, targets = [indices(train), indices(backwards, start=True)], indices(backwards, end=True)
    begun = time.perf_counter()
    x_test, right = indices(test), [word[::-1] for word in test]
    epochs, accuracy = options.epochs or (3 if options.quick else 10), 0.0
    for epoch in range(epochs):
        training.optimizer.lr = 0.003 * (1 - epoch / epochs) + 0.0001
        loss = training.fit(inputs, targets, batch_size=8 if options.quick else 64, verbose=0).history["loss"][0]
        if epoch % 2 or epoch == epochs - 1:
            found = decode(encoder, step, x_test)
            accuracy = float(np.mean([a == b for a, b in zip(found, right, strict=True)]))
            examples = ", ".join(f"{word} -> {answer}" for word, answer in list(zip(test, found, strict=True))[:4])
            print(f"epoch {epoch + 1}: loss {loss:.4f}, {accuracy:.1%} of unseen words right; {examples}")
    print(f"trained in {time.perf_counter() - begun:.0f} s")
    options.output.mkdir(parents=True, exist_ok=True)
    encoder.export(str(options.output / "encoder.onnx"))
    step.export(str(options.output / "decoder.onnx"))
    check_in_onnxruntime(options.output, x_test[:20], decode(encoder, step, x_test[:20]))
    return accuracy


def check_in_onnxruntime(folder: Path, x: np.ndarray, expected: Sequence[str]) -> None:
    """Decode with the two files and nothing but ONNX Runtime."""
    import onnxruntime

    encoder, step = (
        onnxruntime.InferenceSession(str(folder / f"{name}.onnx"), providers=["CPUExecutionProvider"])
        for name in ("encoder", "decoder")
    )
    states = encoder.run(None, {"word": x})
    letter, found = np.full((len(x), 1), START, np.int32), []
    for _ in range(LONGEST):
        p, *states = step.run(None, {"letter": letter, "h": states[0], "c": states[1]})
        letter = p[:, -1].argmax(axis=-1).astype(np.int32)[:, None]
        found.append(letter)
    assert [spelled(row) for row in np.concatenate(found, axis=1)] == list(expected)
    print("encoder.onnx and decoder.onnx spell the same in ONNX Runtime alone")


if __name__ == "__main__":
    main()
