"""Manifests that could do harm: each is a good one with one lie, and what its refusal must say."""

import json

MANIFESTS = {}


def refused(message, error="CorruptCodec"):
    """Register a function that makes a manifest of a good one, as a document, in JSON."""

    def register(make):
        MANIFESTS[make.__name__] = (make, error, message)
        return make

    return register


def changed(**lies):
    """Change members by their path, such as `sample_shape`."""

    def change(document):
        for path, lie in lies.items():
            *above, name = path.split("__")
            inner = document
            for key in above:
                inner = inner[int(key) if key.isdigit() else key]
            inner[name] = lie
        return json.dumps(document).encode()

    return change


def add(name, message, error="CorruptCodec", **lies):
    MANIFESTS[name] = (changed(**lies), error, message)


def replaced(name, old, new, message):
    def change(document):
        text = json.dumps(document)
        assert text.count(old) == 1
        return text.replace(old, new).encode()

    MANIFESTS[name] = (change, "CorruptCodec", message)


HUGE = [1 << 20, 1 << 20]
add(
    "sample_too_large",
    "one sample of the codec takes",
    sample__shape=HUGE,
    sample__network_shape=HUGE,
)
OVERFLOW = [1 << 32, 1 << 32, 6]
add(
    "sample_that_overflows",
    "one sample of the codec takes",
    sample__shape=OVERFLOW,
    sample__network_shape=OVERFLOW,
)
add("latents_too_large", "latents of the codec takes", latent__shape=[8, 1 << 40])
add("sample_of_many_axes", "at most 12 axes", sample__shape=[1] * 10_000)
add("latents_of_many_axes", "at most 12 axes", latent__shape=[8] + [1] * 10_000)
add("axis_of_zero", "positive sizes", sample__shape=[0, 6])
add("negative_axis", "positive sizes", latent__shape=[-8])
add("axis_of_text", "positive sizes", sample__shape=["4", 6])
add("axis_that_is_true", "positive sizes", latent__shape=[True])
add("more_scales_than_channels", "need 8 scales", latent__scale=[1.0] * 20_000)
add("file_too_large", "the codec in its files takes", files__0__size_bytes=1 << 62)
add("file_of_negative_size", "size in bytes and sha256", files__0__size_bytes=-1)
add("digest_of_another_form", "size in bytes and sha256", files__0__sha256="../../outside.bin")
add("file_above_the_folder", "not one of a file", files__0__name="../outside.bin")
add("absolute_file", "not one of a file", files__0__name="/etc/passwd")
add("file_that_is_the_manifest", "not one of a file", files__0__name="manifest.json")
add("name_of_absurd_length", "not one of a file", files__0__name="x" * 10_000)
add("role_of_no_file", "no files with the role 'decoder'", files__1__role="poster")
add("two_decoders", "2 files with the role 'decoder'", files__0__role="decoder")
add("later_format", "update the engine", "IncompatibleStore", format=2)
replaced("endless_number", '"format": 1', '"format": 1' + "0" * 5000, "an integer of 5001 digits")
replaced("not_a_number", '"training": {}', '"training": {"loss": NaN}', "NaN is not JSON")
replaced("two_members_of_one_name", '"format": 1', '"format": 1, "format": 1', "of one name")
replaced("absurd_depth", '"training": {}', '"training": ' + "[" * 5000 + "]" * 5000, "manifest")
replaced("infinite_range", "255.0", "1e999", "range of finite numbers")


@refused("expected at most 64 files")
def too_many_files(document):
    entry = document["files"][0]
    document["files"] += [entry | {"name": f"{k}.bin"} for k in range(100)]
    return json.dumps(document).encode()


@refused("is not a codec's manifest")
def not_text(document):
    return b"\xff\xfe\x00" + json.dumps(document).encode()


@refused("is not a codec's manifest")
def cut_short(document):
    return json.dumps(document).encode()[:200]
