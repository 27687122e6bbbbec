"""Where batches come from: arrays, arrays on disk, generators and Sequences."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcompile.common.errors import DataError, DataTypeError
from kcompile.data.feeder import ArrayFeeder
from kcompile.data.standardize import (
    BatchSource,
    is_batch_source,
    refuse_array_arguments,
    standardize,
    standardized_batches,
    training_data,
)
from kcompile.utils import Sequence
from tests.data_samples import IN, REGRESSION, SPARSE, X10, Y10, Frame, Tensor


# The feeder.
@given(
    samples=st.integers(1, 60),
    batch=st.integers(1, 20),
    group=st.integers(1, 4),
    chunk=st.sampled_from([1, 200, 10**6]),
    shuffle=st.sampled_from([True, False, "batch"]),
    dtype=st.sampled_from(["float32", "uint8"]),
    seed=st.integers(0, 5),
)
def test_an_epoch_has_every_sample_once_and_rows_stay_together(samples, batch, group, chunk, shuffle, dtype, seed):
    x = (np.arange(samples)[:, None] * [1, 2]).astype(dtype)
    y = np.arange(samples, dtype="int64")
    feeder = ArrayFeeder(
        [x, y],
        batch,
        shuffle,
        dtypes=["float32", "int64"],
        steps_per_execution=group,
        chunk_bytes=chunk,
        rng=np.random.RandomState(seed),
    )
    order = y if not shuffle else np.random.RandomState(seed).permutation(samples)
    if shuffle == "batch":
        full = samples // batch
        blocks = np.random.RandomState(seed).permutation(full)
        order = np.concatenate([y[i * batch : (i + 1) * batch] for i in blocks] + [y[full * batch :]])
    batches = [(x.copy(), y.copy()) for x, y in feeder.epoch()]
    assert [len(b) for _, b in batches[:-1]] == [batch] * (feeder.steps - 1)
    np.testing.assert_array_equal(np.concatenate([b for _, b in batches]), order)
    for rows, labels in batches:
        assert rows.dtype == np.float32
        assert rows.flags.c_contiguous
        np.testing.assert_array_equal(rows, (labels[:, None] * [1, 2]).astype(dtype))

    grouped = [(k, x.copy(), y.copy()) for k, (x, y) in feeder.groups()]
    assert sum(k for k, _, _ in grouped) == feeder.steps
    assert all(x.shape[0] == y.shape[0] == k for k, x, y in grouped)
    assert all(k == group for k, _, _ in grouped[: samples // (batch * group)])
    assert sorted(np.concatenate([y.ravel() for _, _, y in grouped])) == list(range(samples))


def test_the_order_comes_from_numpys_global_seed():
    def order():
        feeder = ArrayFeeder([Y10.copy()], 3)
        return [batch[0].tolist() for _ in range(2) for batch in feeder.epoch()]

    np.random.seed(3)
    first = order()
    np.random.seed(3)
    assert order() == first
    np.random.seed(3)
    expected = Y10[np.random.permutation(10)].tolist()  # what Keras 2.3 draws for its first epoch
    assert [value for batch in first[:4] for value in batch] == expected
    assert first[:4] != first[4:]


def test_steps_beyond_the_data_go_through_it_again():
    feeder = ArrayFeeder([Y10], 4, shuffle=False)
    assert [len(batch[0]) for batch in feeder.epoch(5)] == [4, 4, 2, 4, 4]
    assert len(list(feeder.epoch(2))) == 2


def test_unshuffled_batches_are_views_and_full_batches_come_back_as_the_same_objects():
    assert all(np.shares_memory(batch[0], X10) for batch in ArrayFeeder([X10], 4, shuffle=False).epoch())
    feeder = ArrayFeeder([np.zeros((1000, 2), "float32")], 10, chunk_bytes=1600)
    first, later = ({id(batch) for batch in feeder.epoch()} for _ in range(2))
    assert first == later
    assert len(first) == 40  # two chunks of 20 batches


def test_the_feeder_costs_microseconds_per_step():
    x, y = np.zeros((60_000, 64), "float32"), np.zeros((60_000, 1), "int32")
    feeder = ArrayFeeder([x, y], 32)
    times = []
    for _ in range(5):
        start = time.thread_time()
        steps = sum(1 for _ in feeder.epoch())
        times.append((time.thread_time() - start) / steps)
    assert min(times) < 20e-6  # about 2 us on an idle machine


class OnDisk:
    """An h5py-like dataset: slices only."""

    def __init__(self, array):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype

    def __getitem__(self, key):
        assert isinstance(key, slice), "reads rows by slices only"
        return self.array[key]

    def __len__(self):
        return len(self.array)


OnDisk.__module__ = "h5py._hl.dataset"


def test_data_on_disk_is_read_by_slices():
    data, validation = training_data(OnDisk(X10), OnDisk(Y10), validation_split=0.2, inputs=[IN], targets=[REGRESSION])
    assert validation.x[0].shape == (2, 3)
    rows = [(x.copy(), y.copy()) for x, y in data.feeder(3, shuffle="batch").epoch()]
    np.testing.assert_array_equal(np.sort(np.concatenate([y for _, y in rows]), axis=0)[:, 0], Y10[:8])
    for x, y in rows:
        np.testing.assert_array_equal(x[:, 0], y[:, 0] * 3)
    with pytest.raises(DataError, match="shuffle='batch'"):
        data.feeder(3, shuffle=True)
    with pytest.raises(DataError, match="label 9 outside"):
        standardize(OnDisk(X10), OnDisk(Y10[::-1].copy()), inputs=[IN], targets=[SPARSE])


def test_large_images_of_bytes_are_converted_by_chunks(monkeypatch):
    monkeypatch.setattr("kcompile.data.adapters.DEFERRED_CAST_BYTES", 100)
    images = np.arange(300, dtype="uint8").reshape(100, 3)
    data = standardize(images, inputs=[IN])
    assert data.x[0].dtype == np.uint8
    assert np.shares_memory(data.x[0], images)
    batches = [x.copy() for (x,) in data.feeder(7, shuffle=True).epoch()]
    assert batches[0].dtype == np.float32
    assert sorted(np.concatenate(batches)[:, 0]) == sorted(images[:, 0].astype("float32"))


# R30: generators and Sequences.
class Numbers(Sequence):
    """Batches 0, 1, 2, ...; later ones are ready sooner, so that workers finish out of order."""

    def __init__(self, length=5, fail_at=None):
        self.length, self.fail_at, self.epoch = length, fail_at, 0

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        time.sleep(0.005 * (self.length - index))
        if index == self.fail_at:
            raise KeyError("lost file")
        return np.full((2, 3), index + 100 * self.epoch, "float32"), np.zeros(2)

    def on_epoch_end(self):
        self.epoch += 1


def generate(batches=12, wrong=None, at=3):
    for i in range(batches):
        yield wrong if wrong is not None and i == at else (np.full((2, 3), i, "float32"), np.zeros(2))


WORKERS = [
    {"workers": 0},
    {"workers": 1},
    {"workers": 3},
    {"workers": 3, "max_queue_size": 1},
    {"workers": 2, "use_multiprocessing": True},
]


def first_values(batches):
    return [int(x[0, 0]) for x, _, _ in batches]


@pytest.mark.parametrize("options", WORKERS, ids=str)
def test_batches_of_a_sequence_come_in_order_whatever_the_workers(options):
    with BatchSource(Numbers(), **options) as source:
        assert source.steps == 5
        for epoch in range(2):
            assert first_values(source.epoch()) == [100 * epoch + i for i in range(5)]
        assert first_values(source.epoch(7)) == [200, 201, 202, 203, 204, 300, 301]


@pytest.mark.parametrize("options", WORKERS, ids=str)
def test_a_shuffled_sequence_gives_each_batch_once_and_follows_the_seed(options):
    orders = []
    for _ in range(2):
        np.random.seed(1)
        with BatchSource(Numbers(), shuffle=True, **options) as source:
            orders.append(first_values(source.epoch()))
    assert orders[0] == orders[1]
    assert sorted(orders[0]) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("options", WORKERS[:4], ids=str)
def test_a_generator_goes_on_over_epochs_and_its_early_end_is_a_warning(options):
    with BatchSource(generate(), **options) as source:
        assert first_values(source.epoch(5)) == [0, 1, 2, 3, 4]
        assert first_values(source.epoch(5)) == [5, 6, 7, 8, 9]
        with pytest.warns(RuntimeWarning, match="ended after 12 batches, 2 of the 5 steps"):
            assert first_values(source.epoch(5)) == [10, 11]
        assert source.exhausted


@pytest.mark.parametrize("options", WORKERS, ids=str)
def test_the_users_exception_surfaces_with_the_number_of_the_batch(options):
    with BatchSource(Numbers(fail_at=2), **options) as source, pytest.raises(KeyError) as raised:
        first_values(source.epoch())
    assert raised.value.args == ("lost file",)
    assert any("batch 2 of generator" in note for note in raised.value.__notes__)


WRONG_BATCHES = {
    "none": (lambda: iter([(X10, Y10), None]), ["batch 1 is None", "(x, y)"]),
    "one": (lambda: iter([(X10, Y10), (X10,)]), ["batch 1 is a tuple of 1", "(x, y, sample_weight)"]),
    "four": (lambda: iter([(X10, Y10), (X10,) * 4]), ["batch 1 is a tuple of 4"]),
    "array": (lambda: iter([(X10, Y10), X10[:2]]), ["batch 1 is an array of shape (2, 3)"]),
    "shape": (lambda: iter([(X10, Y10), (X10[:, :2], Y10)]), ["x:", "(None, 3)", "(10, 2)", "batch 1 of"]),
    "dtype": (lambda: iter([(X10, Y10), (X10.astype(str), Y10)]), ["x:", "text", "batch 1 of"]),
    "counts": (lambda: iter([(X10, Y10), (X10, Y10[:3])]), ["x has 10", "y has 3", "batch 1 of"]),
    "nothing": (lambda: iter([]), ["yielded no batch", "2"]),
}


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("kind", WRONG_BATCHES)
def test_batches_that_cant_be_used_are_named(kind, workers):
    make, words = WRONG_BATCHES[kind]
    with BatchSource(make(), workers=workers) as source, pytest.raises(ValueError) as raised:  # noqa: PT011
        list(standardized_batches(source, 2, inputs=[IN], targets=[REGRESSION]))
    text = "\n".join([str(raised.value), *getattr(raised.value, "__notes__", [])])
    for word in words:
        assert word in text


def test_batches_may_change_in_size_and_carry_weights():
    batches = [(X10, Y10), (X10[:3], Y10[:3], np.arange(3)), [X10[:1], Y10[:1]]]
    with BatchSource(iter(batches)) as source:
        got = list(standardized_batches(source, 3, inputs=[IN], targets=[REGRESSION]))
    assert [data.samples for data in got] == [10, 3, 1]
    assert [data.weights[0] is not None for data in got] == [False, True, False]


def test_predict_takes_x_alone_or_first_of_a_tuple():
    for batch in (X10, (X10,), (X10, Y10), (X10, Y10, Y10)):
        with BatchSource(iter([batch]), with_targets=False) as source:
            (data,) = standardized_batches(source, 1, inputs=[IN])
        np.testing.assert_array_equal(data.x[0], X10)


def test_arrays_are_no_source():
    for value in (X10, [X10], {"x": X10}, None, "abc", Tensor(X10), Frame({"a": Y10})):
        assert not is_batch_source(value)
    with pytest.raises(DataTypeError, match="expected a generator or a Sequence, got ndarray"):
        BatchSource(X10)
    for wrong in ({"y": Y10}, {"sample_weight": Y10}, {"batch_size": 3}, {"validation_split": 0.1}):
        with pytest.raises(DataError, match=next(iter(wrong))):
            refuse_array_arguments("fit", **wrong)


def test_an_iterable_starts_again_for_each_epoch():
    class Loader:
        def __iter__(self):
            return generate(3)

    with BatchSource(Loader()) as source:
        assert [first_values(source.epoch()) for _ in range(2)] == [[0, 1, 2], [0, 1, 2]]
        assert first_values(source.epoch(5)) == [0, 1, 2, 0, 1]


def test_a_generator_that_blocks_ends_in_a_timeout():
    def blocked():
        yield X10, Y10
        time.sleep(3600)

    start = time.perf_counter()
    with (
        BatchSource(blocked(), timeout=0.2) as source,
        pytest.raises(TimeoutError, match=r"0\.2 seconds") as raised,
    ):
        list(source.epoch(2))
    assert time.perf_counter() - start < 60  # not the hour that the generator sleeps
    assert any("batch 1 of generator" in note for note in raised.value.__notes__)


def run_child(script, **options):
    code = textwrap.dedent(script)
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment, **options)


@pytest.mark.parametrize("processes", [False, True])
def test_ctrl_c_while_the_generator_blocks_ends_the_program(processes):
    child = run_child(
        f"""
        import numpy as np, time
        from kcompile.data.standardize import BatchSource

        def blocked():
            print("blocked", flush=True)
            while True:
                time.sleep(1)
            yield

        with BatchSource(blocked(), use_multiprocessing={processes}) as source:
            list(source.epoch(2))
    """,
        stderr=subprocess.DEVNULL,
    )
    assert child.stdout.readline() == "blocked\n"
    child.send_signal(signal.SIGINT)
    assert child.communicate(timeout=100) == ("", None)  # its own workers would keep the pipe open
    assert child.returncode != 0


def test_a_killed_worker_process_is_an_error_and_none_is_left():
    child = run_child("""
        import multiprocessing, os, signal
        from kcompile.data.standardize import BatchSource
        from kcompile.utils import Sequence

        class Killed(Sequence):
            def __len__(self):
                return 4
            def __getitem__(self, index):
                os.kill(os.getpid(), signal.SIGKILL)

        with BatchSource(Killed(), use_multiprocessing=True, workers=2) as source:
            try:
                list(source.epoch())
            except RuntimeError as error:
                print(error)
        print(len(multiprocessing.active_children()))
    """)
    output, _ = child.communicate(timeout=100)
    assert "worker process died (exit code -9)" in output
    assert output.endswith("\n0\n")
