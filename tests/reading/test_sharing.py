"""One open store shared: by threads, by forked processes, and by the tasks of an event loop."""

import asyncio
import concurrent.futures
import functools
import multiprocessing
import operator
import os
import threading
import time

import numpy as np
import pytest
import torch.utils.data

import engine
from engine.codec.files import CodecFiles
from engine.errors import InvalidInput
from engine.reading.store import Store
from engine.runtime.codec import Codec
from engine.store.contents import StoreContents

from ..laws import same_values

ROWS = [150, 3, 3, 199, 0, 64]
PATIENCE_S = 60
forking = pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
# Newer Pythons warn of what is tested here.
allowed = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


@pytest.fixture(scope="module")
def decoded(few, few_codec):
    """The samples as the codec alone makes them."""
    return few_codec.decode(few_codec.encode(few))


@forking
@allowed
def test_forked_processes_go_on_with_a_store_that_was_read_from(store, decoded):
    assert same_values(store[ROWS], decoded[ROWS])
    store.codec.decode(store.read_integer_latents(np.array(ROWS)))
    fork = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=fork) as pool:
        keys = [7, ROWS, slice(None), slice(5, 9)]
        found = [pool.submit(_get_inherited, key) for key in keys]
        for key, result in zip(keys, found, strict=True):
            assert same_values(result.result(PATIENCE_S), decoded[key])


_inherited = {}


def _get_inherited(key):
    return _inherited["store"][key]


@pytest.fixture(autouse=True)
def inherited(store):
    """The store where a forked child finds it: what is sent to one is pickled."""
    _inherited["store"] = store
    yield
    _inherited.clear()


@forking
@allowed
def test_a_fork_amid_reads_of_other_threads(store, decoded):
    ended, failures = threading.Event(), []

    def read():
        while not ended.is_set():
            if not same_values(store[ROWS], decoded[ROWS]):
                failures.append(ROWS)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        codes = [_exit_code_of_child(store, decoded) for _ in range(4)]
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert codes == [0] * 4
    assert failures == []


def _exit_code_of_child(store, decoded):
    """0 where a forked child reads what it should."""
    child = os.fork()
    if child == 0:
        right = same_values(store[ROWS], decoded[ROWS]) and same_values(store[:], decoded)
        os._exit(0 if right and store.quality and store.contents.certificate is None else 1)
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return None


def cached_properties():
    """Those of everything that an open store is made of, with the way to it from the store."""
    ways = {
        Store: lambda store: store,
        StoreContents: lambda store: store.contents,
        CodecFiles: lambda store: store.contents.codec_files,
        Codec: lambda store: store.codec,
    }
    for kind, way in ways.items():
        for name, value in vars(kind).items():
            if isinstance(value, functools.cached_property):
                yield pytest.param(way, value, id=f"{kind.__name__}.{name}")


@forking
@allowed
@pytest.mark.parametrize(("way", "cached"), list(cached_properties()))
def test_a_fork_while_another_thread_computes_a_cached_property(
    way, cached, store, decoded, monkeypatch
):
    """Python 3.11 locks a cached property of all objects of a class meanwhile."""
    parent, compute, forked = os.getpid(), cached.func, threading.Event()
    inside = threading.Event()

    def slow(holder):
        if os.getpid() == parent:
            inside.set()
            forked.wait(PATIENCE_S)
        return compute(holder)

    holder = way(store)
    holder.__dict__.pop(cached.attrname, None)
    monkeypatch.setattr(cached, "func", slow)
    thread = threading.Thread(target=getattr, args=[holder, cached.attrname])
    thread.start()
    assert inside.wait(PATIENCE_S)
    try:
        assert _exit_code_of_child(store, decoded) == 0
    finally:
        forked.set()
        thread.join()


class Samples(torch.utils.data.Dataset):
    """What a user writes around a store to train on it."""

    def __init__(self, store):
        self.store = store

    def __len__(self):
        return len(self.store)

    def __getitem__(self, row):
        return self.store[row]


@forking
@allowed
def test_the_workers_of_a_torch_data_loader(store, decoded):
    assert same_values(store[5], decoded[5])
    loader = torch.utils.data.DataLoader(
        Samples(store),
        batch_size=16,
        num_workers=2,
        timeout=PATIENCE_S,
        multiprocessing_context="fork",
    )
    for _ in range(2):
        assert same_values(torch.cat(list(loader)).numpy(), decoded)
    assert same_values(store[:], decoded)


def test_reads_of_an_event_loop_that_ticks_on(store, decoded):
    async def serve():
        ticks, asked = 0, [np.random.default_rng(seed).integers(0, 200, 9) for seed in range(100)]
        reading = asyncio.gather(*(store.read_async(rows) for rows in asked))
        while not reading.done():
            await asyncio.sleep(0)
            ticks += 1
        for rows, found in zip(asked, await reading, strict=True):
            assert same_values(found, decoded[rows])
        assert same_values(await store.read_async(slice(3, 60)), decoded[3:60])
        with pytest.raises(IndexError):
            await store.read_async([200])
        return ticks

    assert asyncio.run(serve()) > 100


def test_no_more_reads_at_once_than_cores(store, monkeypatch):
    at_once, most, read = threading.Semaphore(0), [], store.read

    def counted(rows):
        at_once.release()
        most.append(at_once._value)
        time.sleep(0.005)
        at_once.acquire()
        return read(rows)

    monkeypatch.setattr(store, "read", counted)

    async def serve():
        await asyncio.gather(*(store.read_async([row]) for row in range(50)))

    asyncio.run(serve())
    assert len(most) == 50
    assert max(most) <= engine.runtime.device.available_cores()


def test_reads_that_are_cancelled_spoil_nothing(store, decoded):
    async def serve():
        reading = [asyncio.ensure_future(store.read_async(ROWS)) for _ in range(40)]
        await asyncio.sleep(0.001)
        for task in reading[::2]:
            task.cancel()
        found = await asyncio.gather(*reading, return_exceptions=True)
        assert any(isinstance(result, asyncio.CancelledError) for result in found)
        for result in found[1::2]:
            assert same_values(result, decoded[ROWS])
        assert same_values(await store.read_async(slice(None)), decoded)

    asyncio.run(serve())


def test_a_store_closed_while_threads_read_it(store, decoded):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = [pool.submit(operator.getitem, store, ROWS) for _ in range(200)]
        store.close()
        for result in found:
            try:
                assert same_values(result.result(PATIENCE_S), decoded[ROWS])
            except InvalidInput as error:
                assert "was closed" in str(error)
