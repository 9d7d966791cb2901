"""What several tests demand alike: equal bytes, equal trees, and ways to damage a file."""

import threading

import numpy as np


def in_threads(work, items):
    """Call `work` with every item, each on a thread of its own; raise the first error of any."""
    errors = []

    def guarded(item):
        try:
            work(item)
        except Exception as error:  # a thread would only print it
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=[item]) for item in items]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    if errors:
        raise errors[0]


def same_values(found, expected):
    """Whether two arrays agree in dtype, shape and every bit."""
    return (found.dtype, found.shape) == (expected.dtype, expected.shape) and (
        np.ascontiguousarray(found).tobytes() == np.ascontiguousarray(expected).tobytes()
    )


def tree(folder):
    """Everything below a folder: the bytes of files and None for folders, by relative path."""
    return {
        path.relative_to(folder).as_posix(): None if path.is_dir() else path.read_bytes()
        for path in folder.rglob("*")
    }


def assert_same_tree(found, expected):
    """Fail with the names that differ, not with their bytes."""
    one, other = tree(found), tree(expected)
    assert sorted(one) == sorted(other)
    assert [name for name in one if one[name] != other[name]] == []


def flip_bit(path, bit):
    """Change one bit of a file, `bit` counted modulo its length."""
    content = bytearray(path.read_bytes())
    bit %= 8 * len(content)
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def truncate(path, size_bytes):
    """Cut a file to `size_bytes`, counted modulo its length."""
    content = path.read_bytes()
    path.write_bytes(content[: size_bytes % len(content)])
