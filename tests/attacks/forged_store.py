"""A store that somebody changed on purpose: every digest of it is right again."""

import hashlib
import json
from pathlib import Path

import google_crc32c
import numpy as np

from engine.store.contents import StoreContents
from engine.store.shard import encode_chunk, split_shard
from engine.store.shard_index import ZARR_INDEX, encode_lengths

ROOT, VARIABLE, PART = "zarr.json", "data/zarr.json", "data/part-0"
LEDGER = f"{PART}/ledger/c/0"


class ForgedStore:
    """The objects of a good store, to be changed; `changed` are those that are others now."""

    def __init__(self, good):
        self._good = {
            path.relative_to(good).as_posix(): path.read_bytes()
            for path in Path(good).rglob("*")
            if path.is_file()
        }
        self.objects = dict(self._good)
        contents = StoreContents(good)
        self.arrays, self.record_dtype = contents.arrays, contents.ledger.dtype
        self.head = json.loads(self.objects[ROOT])["attributes"]["latent_store"]

    def document(self, key, change):
        """Change a `zarr.json`, as a document in place or as text."""
        document = json.loads(self.objects[key])
        changed = change(document)
        self.put(key, changed if isinstance(changed, bytes) else json.dumps(document).encode())

    def put(self, key, content):
        """Put an object and say so in the head, if that lists it."""
        self.objects[key] = content
        if key in self.head["objects"]:
            self.head["objects"][key] = [len(content), hashlib.sha256(content).hexdigest()]

    def records(self, change):
        """Change the ledger as an array of records; their checksums become right again."""
        raw = b"".join(record.tobytes() for record in self._records())
        ledger = np.frombuffer(bytearray(raw), self.record_dtype)
        change(ledger)
        for record in ledger:
            record["crc32c"] = google_crc32c.value(record.tobytes()[:-4])
        self.put(LEDGER, encode_chunk(np.frombuffer(ledger.tobytes(), np.uint8)))

    def shard(self, name, change, shard=0):
        """Replace the chunks of a shard, without their checksums; ledger and index follow.

        `change` gets and returns `(chunks, index)`; an index of None is the right one.
        """
        array = self.arrays[name]
        key = f"{PART}/{array.key(shard)}"
        count = array.grid.chunks_per_shard
        chunks = split_shard(self.objects[key], count, key, array.index)
        chunks, index = change([chunk[:-4] for chunk in chunks])
        chunks = [chunk + google_crc32c.value(chunk).to_bytes(4, "little") for chunk in chunks]
        if index is None:
            table = array.index.encode([len(chunk) for chunk in chunks], len(chunks))[:-4]
        elif array.index == ZARR_INDEX:
            table = np.array(index, "<u8").tobytes()
        else:
            table = encode_lengths(np.array(index, "<u8"), array.index.length_bytes)
        self.put_shard(name, shard, chunks, table)

    def put_shard(self, name, shard, chunks, table):
        """Put a shard object of these chunks and this index, and record it."""
        closing = google_crc32c.value(table)
        content = b"".join(chunks) + table + closing.to_bytes(4, "little")
        self.objects[f"{PART}/{self.arrays[name].key(shard)}"] = content
        place = list(self.arrays).index(name)

        def record(ledger):
            ledger[f"size_bytes_{place}"][shard] = len(content)
            digest = hashlib.sha256(content).digest()
            ledger[f"sha256_{place}"][shard] = np.frombuffer(digest, np.uint8)
            ledger[f"index_crc32c_{place}"][shard] = closing
            ledger[f"chunk_crc32c_{place}"][shard] = [
                int.from_bytes(chunk[-4:], "little") for chunk in chunks
            ]

        self.records(record)

    @property
    def changed(self):
        """Objects that differ from those of the good store, by name."""
        if ROOT not in self.objects or self.objects[ROOT] == self._good[ROOT]:
            self.objects[ROOT] = self.root()
        return {k: v for k, v in self.objects.items() if self._good.get(k) != v}

    def root(self):
        """The root's `zarr.json` around the head."""
        self.head.pop("sha256", None)
        canonical = json.dumps(self.head, sort_keys=True, separators=(",", ":"))
        head = self.head | {"sha256": hashlib.sha256(canonical.encode()).hexdigest()}
        document = {"attributes": {"latent_store": head}, "node_type": "group", "zarr_format": 3}
        return (json.dumps(document, sort_keys=True, separators=(",", ":")) + "\n").encode()

    def _records(self):
        from engine.store.shard import decode_chunk

        count = self.arrays["latents"].grid.shard_count
        shape = (count * self.record_dtype.itemsize,)
        raw = decode_chunk(self.objects[LEDGER], shape, np.dtype(np.uint8), "ledger")
        return np.frombuffer(raw.tobytes(), self.record_dtype)
