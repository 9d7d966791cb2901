"""Random damage to good and hostile files: of bytes, of messages, of JSON documents."""

import copy
import json

from engine.codec.operators import ALLOWED_OPERATORS
from tests.attacks.graphs import GRAPHS
from tests.attacks.models import decoder

INTEGERS = [0, 1, -1, 2, 3, 4, 7, 8, 24, 255, 1 << 15, 1 << 24, 1 << 30, -(1 << 30)]
INTEGERS += [1 << 31, 1 << 32, (1 << 63) - 1, -(1 << 63)]
FLOATS = [0.0, -1.0, 1e-30, 1e30, float("inf"), float("nan")]
ATTRIBUTES = [
    "axis",
    "axes",
    "perm",
    "keepdims",
    "strides",
    "pads",
    "dilations",
    "group",
    "kernel_shape",
    "blocksize",
    "num_outputs",
    "to",
    "mode",
    "allowzero",
    "batch_dims",
    "start",
    "end",
    "direction",
    "hidden_size",
    "exclusive",
    "reverse",
    "largest",
    "sorted",
    "alpha",
]
JUNK = [None, True, -1, 0, 1.5, 10**30, "", "x" * 300, [], {}, [[]], [1] * 99, {"a": {}}]


def mutated_graph(rng):
    """A model that is a good decoder or an attack, with up to four changes."""
    model = rng.choice([decoder, *(make for make, _ in GRAPHS.values())])()
    for _ in range(rng.randint(1, 4)):
        change(model.graph, rng)
    return model


def change(graph, rng):
    """Change a graph in one place."""
    rng.choice(CHANGES)(graph, rng)


def mutated_bytes(content, rng):
    """Bytes with up to four of them changed, put in, left out or repeated."""
    changed = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(changed) + 1)
        length = rng.choice([0, 1, 2, 8])
        inserted = rng.choice([b"", rng.randbytes(rng.randint(1, 4)), bytes(changed[at : at + 40])])
        changed[at : at + length] = inserted
    return bytes(changed)


def mutated_document(document, rng):
    """JSON in which up to three values, anywhere, are others."""
    document = json.loads(json.dumps(document))
    for _ in range(rng.randint(1, 3)):
        container = document
        while True:
            keys = list(container if isinstance(container, dict) else range(len(container)))
            key = rng.choice(keys)
            inner = container[key]
            if not (isinstance(inner, dict | list) and inner) or rng.random() < 0.2:
                break
            container = inner
        if rng.random() < 0.2:
            del container[key]
        else:
            container[key] = copy.deepcopy(rng.choice([*JUNK, *INTEGERS]))
        if not container:
            break
    return json.dumps(document).encode()


def _another_operator(graph, rng):
    rng.choice(graph.node).op_type = rng.choice(sorted(ALLOWED_OPERATORS))


def _another_operand(graph, rng):
    node = rng.choice(graph.node)
    made = ["", *(value.name for value in graph.input), *(t.name for t in graph.initializer)]
    made += [name for other in graph.node for name in other.output]
    if node.input and rng.random() < 0.7:
        node.input[rng.randrange(len(node.input))] = rng.choice(made)
    else:
        node.input.append(rng.choice(made))


def _another_attribute(graph, rng):
    node = rng.choice(graph.node)
    attribute = rng.choice([*node.attribute, node.attribute.add(name=rng.choice(ATTRIBUTES))])
    kind = rng.choice(["i", "ints", "f"])
    attribute.type = {"i": 2, "ints": 7, "f": 1}[kind]
    if kind == "i":
        attribute.i = rng.choice(INTEGERS)
    elif kind == "f":
        attribute.f = rng.choice(FLOATS[2:4])
    else:
        attribute.ints.extend(rng.choices(INTEGERS[:10], k=rng.randint(0, 4)))


def _another_node(graph, rng):
    """A node between the last two, whose result takes the place of an operand."""
    made = [value.name for value in graph.input] + [t.name for t in graph.initializer]
    made += [name for other in graph.node for name in other.output][:-1]
    last = graph.node[-1]
    node = graph.node.add(
        op_type=rng.choice(sorted(ALLOWED_OPERATORS)),
        input=rng.choices(made, k=rng.randint(1, 3)),
        output=[f"new_{len(graph.node)}"],
    )
    copied = type(last).FromString(last.SerializeToString())
    copied.input[rng.randrange(len(copied.input))] = node.output[0]
    last.CopyFrom(node)
    node.CopyFrom(copied)


def _another_weight(graph, rng):
    """Other elements, or a tensor of integers that a shape may be taken from."""
    tensor = rng.choice(graph.initializer)
    if tensor.data_type == 7 and rng.random() < 0.7:
        count = len(tensor.raw_data) // 8
        chosen = rng.choices(INTEGERS, k=count)
        tensor.raw_data = b"".join(v.to_bytes(8, "little", signed=True) for v in chosen)
    elif tensor.dims and rng.random() < 0.5:
        tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(INTEGERS)
    else:
        chosen = rng.choices(INTEGERS[:10], k=rng.randint(1, 5))
        sizes = graph.initializer.add(name=f"sizes_{len(graph.initializer)}", data_type=7)
        sizes.dims.append(len(chosen))
        sizes.int64_data.extend(chosen)


CHANGES = [_another_operator, _another_operand, _another_attribute, _another_node, _another_weight]
