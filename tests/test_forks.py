"""Processes that are forked from one that has used its sessions predict and train; nobody hangs."""

import os
import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

SCRIPT = """
    import multiprocessing, os, sys, threading
    import numpy as np
    import kcompile
    from kcompile import layers as L

    x = np.random.default_rng(0).normal(size=(64, 40)).astype("float32")
    y = np.random.default_rng(1).normal(size=(64, 1)).astype("float32")
    model = kcompile.Sequential([L.Dense(128, activation="relu", input_shape=(40,)), L.Dense(128), L.Dense(1)])
    model.compile("adam", "mse")
    model.fit(x, y, epochs=1, verbose=0)
    compiled = kcompile.compile(model)
    before, fast = model.predict(x), compiled(x)
    function = kcompile.backend.function([model.input], [model.output])
    function([x])

    weights = model.get_weights()

    def work(_):
        model.set_weights(weights)
        assert np.allclose(model.predict(x), before, atol=1e-5)
        assert np.array_equal(compiled(x), fast)
        assert np.allclose(function([x])[0], before, atol=1e-5)
        return model.fit(x, y, epochs=2, shuffle=False, verbose=0).history["loss"]
"""
WAYS = {
    "os.fork, which exits as usual": """
        def child():
            pid = os.fork()
            if pid == 0:
                work(0)
                del globals()["model"], globals()["compiled"]
                sys.exit(7)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
        child()
        child()
        assert np.allclose(model.predict(x), before, atol=1e-5)
    """,
    "a pool": """
        with multiprocessing.get_context("fork").Pool(2) as pool:
            losses = pool.map(work, range(3))
        assert np.allclose(losses[0], work(0)), losses
    """,
    "a child of a child": """
        pid = os.fork()
        if pid == 0:
            inner = os.fork()
            if inner == 0:
                work(0)
                os._exit(5)
            work(0)
            os._exit(os.waitstatus_to_exitcode(os.waitpid(inner, 0)[1]))
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5
    """,
    "while another thread predicts": """
        stop = []
        def run():
            while not stop:
                model.predict(x)
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        for _ in range(3):
            pid = os.fork()
            if pid == 0:
                work(0)
                os._exit(3)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
        stop.append(1)
        thread.join()
    """,
}


@pytest.mark.parametrize("way", WAYS)
def test_forked(way: str) -> None:
    code = textwrap.dedent(SCRIPT) + textwrap.dedent(WAYS[way]) + "\nprint('done')\n"
    environment = {**os.environ, "KCOMPILE_THREADS": "2"}
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], env=environment, capture_output=True, text=True, timeout=60
    )
    assert result.stdout.endswith("done\n"), result.stderr
