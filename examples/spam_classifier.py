"""A text classifier: are mails spam? Bidirectional GRU over words, on the SpamAssassin corpus.

    python examples/spam_classifier.py              # a minute on one core; 98 % of the test mails right
    python examples/spam_classifier.py --quick      # seconds, on a sample of made-up mails

What the mails are stripped of, so that they must be read, stands in ``mails.py``. Every fifth mail of each part of the
corpus (easy and hard ham, old and new spam), after shuffling, is a test mail. The vocabulary is that of the training
mails. At the end, the exported ONNX file is run by ONNX Runtime alone.
"""

from __future__ import annotations

import argparse
import re
import time
from collections import Counter
from collections.abc import Sequence

import mails
import numpy as np

from kcompile import Input, Model, optimizers
from kcompile.callbacks import LearningRateScheduler
from kcompile.layers import (
    GRU,
    Bidirectional,
    Dense,
    Dropout,
    Embedding,
    GlobalAveragePooling1D,
    SpatialDropout1D,
    concatenate,
)

PADDING, UNKNOWN = 0, 1
RATE = 0.006


def words(mail: mails.Mail) -> list[str]:
    """Words and some signs of subject and body, in lower case; ``^`` before words that were all capitals.

    All numbers are the same word: dates, of which the corpus has other ones for spam, tell nothing. So are all words
    in letters other than English ones.
    """
    found = []
    for word in re.findall(r"[A-Za-z']+|[0-9]+|;;|[!?$%]|[^\x00-\x7f]+", f"{mail.subject} ;; {mail.body}"):
        if word.isascii() and word.isupper() and len(word) > 1:
            found.append("^")
        found.append("number" if word[0].isdigit() else word.lower() if word.isascii() else "foreign")
    return found


def vocabulary(texts: Sequence[Sequence[str]], size: int) -> dict[str, int]:
    """An index for each of the words that are in most texts, from 2 on."""
    counts = Counter(word for text in texts for word in set(text))
    return {word: i for i, (word, _) in enumerate(counts.most_common(size - 2), start=2)}


def indices(texts: Sequence[Sequence[str]], index: dict[str, int], length: int) -> np.ndarray:
    """The first words of each text as rows of indices, zeros after the last word."""
    x = np.full((len(texts), length), PADDING, np.int32)
    for row, text in zip(x, texts, strict=True):
        found = [index.get(word, UNKNOWN) for word in text[:length]] or [UNKNOWN]
        row[: len(found)] = found
    return x


def split(data: Sequence[mails.Mail], seed: int) -> tuple[list[mails.Mail], list[mails.Mail]]:
    """Training and test mails; of each group, a fifth is for the test."""
    rng = np.random.RandomState(seed)
    train, test = [], []
    for group in sorted({mail.group for mail in data}):
        members = [mail for mail in data if mail.group == group]
        order = rng.permutation(len(members))
        test += [members[i] for i in order[: len(members) // 5]]
        train += [members[i] for i in order[len(members) // 5 :]]
    return train, test


def build(size: int, length: int, units: int) -> Model:
    """Words to the probability of spam."""
    x = words_in = Input((length,), dtype="int32", name="words")
    x = SpatialDropout1D(0.3)(Embedding(size, 48, mask_zero=True)(x))
    # What the words say one after the other, and which words there are at all.
    x = concatenate([Bidirectional(GRU(units))(x), GlobalAveragePooling1D()(x)])
    model = Model(words_in, Dense(1, activation="sigmoid", name="spam")(Dropout(0.5)(x)))
    model.compile(optimizers.Adam(RATE), "binary_crossentropy", metrics=["accuracy"])
    return model


def main(arguments: Sequence[str] | None = None) -> float:
    """Train, test, export; the accuracy on the test mails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="use a small sample of made-up mails")
    parser.add_argument("--epochs", type=int, help="default: 4, with --quick 8")
    parser.add_argument("--output", default="spam.onnx", help="where the model goes; default: spam.onnx")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    np.random.seed(options.seed)
    length, size, units, batch = (30, 500, 8, 4) if options.quick else (250, 20000, 16, 32)

    data = mails.load(sample=options.quick)
    train, test = split(data, options.seed)
    texts = [words(mail) for mail in train]
    index = vocabulary(texts, size)
    x, y = indices(texts, index, length), np.array([mail.is_spam for mail in train], np.float32)
    x_test = indices([words(mail) for mail in test], index, length)
    y_test = np.array([mail.is_spam for mail in test], np.float32)
    print(f"{len(train)} mails to learn from, {len(test)} to test on; {y_test.mean():.0%} of them spam")

    model = build(size, length, units)
    model.summary()
    start = time.perf_counter()
    epochs = options.epochs or (8 if options.quick else 4)
    slower = LearningRateScheduler(lambda epoch: RATE * (1 - epoch / epochs))
    model.fit(x, y, batch_size=batch, epochs=epochs, verbose=2, callbacks=[slower])
    print(f"trained in {time.perf_counter() - start:.0f} s")
    p = model.predict(x_test, batch_size=128)
    right = (p[:, 0] > 0.5) == (y_test > 0.5)
    for group in sorted({mail.group for mail in test}):
        mine = np.array([mail.group == group for mail in test])
        print(f"{group:>12}: {right[mine].mean():.2%} of {mine.sum()}")
    print(f"test accuracy {right.mean():.2%}")

    model.export(options.output)
    check_in_onnxruntime(options.output, x_test, p)
    return float(right.mean())


def check_in_onnxruntime(path: str, x: np.ndarray, expected: np.ndarray) -> None:
    """Run the file with nothing but ONNX Runtime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (p,) = session.run(None, {session.get_inputs()[0].name: x})
    np.testing.assert_allclose(p, expected, rtol=1e-4, atol=1e-5)
    print(f"{path} gives the same in ONNX Runtime alone")


if __name__ == "__main__":
    main()
