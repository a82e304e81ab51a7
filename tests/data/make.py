#!/usr/bin/env python3
"""Makes the small files of tests/data and the seeds of tests/fuzz (no packages needed). The files are committed; run this again
after changing it: python3 tests/data/make.py, from anywhere."""
import gzip
import io
import os
import struct
import zipfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def put(path, data):
    full = os.path.join(ROOT, path)
    os.makedirs(os.path.dirname(full), exist_ok=True)
    with open(full, "wb") as f:
        f.write(data)


def bad(folder, name, data, expected):
    """A file that must be refused with a text that holds `expected`."""
    put(f"tests/data/{folder}/{name}", data)
    put(f"tests/data/{folder}/{name}.expected", (expected + "\n").encode())


# ---- NumPy ----

def npy(descr, shape, data, order="False", version=1, extra=""):
    shape_text = "(" + "".join(f"{d}, " for d in shape) + ")"
    head = f"{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape_text}, {extra}}}".encode()
    size = 10 if version == 1 else 12
    head += b" " * (-(size + len(head) + 1) % 64) + b"\n"
    length = struct.pack("<H" if version == 1 else "<I", len(head))
    return b"\x93NUMPY" + bytes([version, 0]) + length + head + data


def npz(arrays, method=zipfile.ZIP_DEFLATED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as z:
        for name, data in arrays:
            info = zipfile.ZipInfo(name, date_time=(2026, 1, 1, 0, 0, 0))
            info.compress_type = method
            z.writestr(info, data)
    return out.getvalue()


IMAGES = bytes(range(2 * 3 * 3))
GOOD_NPZ = npz([("image.npy", npy("|u1", (2, 3, 3), IMAGES)), ("labels.npy", npy("<i8", (2,), struct.pack("<2q", 1, 0)))])


def make_npz():
    one = npy("<f4", (2, 2), struct.pack("<4f", 1, 2, 3, 4))
    put("tests/fuzz/formats/npz/good", GOOD_NPZ)
    put("tests/fuzz/formats/npz/stored", npz([("x.npy", one)], zipfile.ZIP_STORED))
    put("tests/fuzz/formats/npz/version3", npz([("x.npy", npy("<f4", (1,), b"\0" * 4, version=3))]))
    put("tests/fuzz/formats/npy/f4", one)
    put("tests/fuzz/formats/npy/v2", npy("<i8", (3,), b"\0" * 24, version=2))

    f = "bad-npz"
    bad(f, "empty.npz", b"", "the file is empty")
    bad(f, "text.npz", b"hello, world\n", "this is a text, not an .npz")
    bad(f, "single.npz", one, "this is a single NumPy array (.npy), not an .npz")
    bad(f, "truncated.npz", GOOD_NPZ[:200], "the .npz is truncated or damaged")
    bad(f, "no-arrays.npz", npz([]), "the .npz holds no arrays")
    bad(f, "not-npy.npz", npz([("readme.txt", b"x" * 40)]), 'entry "readme.txt" is not a NumPy array')
    bad(f, "not-numpy-inside.npz", npz([("x.npy", b"just some text that is long enough")]),
        'array "x": this is not an .npy array but a text')
    bad(f, "short.npz", npz([("x.npy", npy("<f4", (2, 2), b"\0" * 12))]),
        'array "x": float32 [2, 2] takes 16 bytes, but 12 are there')
    bad(f, "long.npz", npz([("x.npy", npy("<f4", (2, 2), b"\0" * 20))]),
        'array "x": float32 [2, 2] takes 16 bytes, but 20 are there')
    bad(f, "header-cut.npz", npz([("x.npy", one[:40])]), 'array "x": the .npy array is truncated')
    bad(f, "twice.npz", duplicate(npz([("x.npy", one), ("y.npy", one)])), 'array "x" is there twice')
    bad(f, "fortran.npz", npz([("x.npy", npy("<f4", (2, 2), b"\0" * 16, order="True"))]),
        "the array lies in Fortran order: save it with numpy.ascontiguousarray")
    bad(f, "big-endian.npz", npz([("x.npy", npy(">f4", (2,), b"\0" * 8))]), "save it with astype('<f4')")
    bad(f, "objects.npz", npz([("x.npy", npy("|O", (2,), b"\0" * 16))]), "NumPy's type '|O', which is not supported")
    bad(f, "strings.npz", npz([("x.npy", npy("<U5", (2,), b"\0" * 40))]), "NumPy's type '<U5', which is not supported")
    bad(f, "complex.npz", npz([("x.npy", npy("<c8", (2,), b"\0" * 16))]), "NumPy's type '<c8', which is not supported")
    bad(f, "overflow.npz", npz([("x.npy", npy("<f8", (1 << 40, 1 << 40), b""))]), "larger than any file")
    bad(f, "negative.npz", npz([("x.npy", npy("<f8", (-1, 4), b""))]), "no valid 'shape'")
    bad(f, "nine-axes.npz", npz([("x.npy", npy("<f4", (1,) * 9, b"\0" * 4))]), "more than 8 axes")
    bad(f, "extra-key.npz", npz([("x.npy", npy("<f4", (1,), b"\0" * 4, extra="'evil': 1, "))]), "an unknown key")
    bad(f, "version9.npz", npz([("x.npy", one.replace(b"\x01\x00", b"\x09\x00", 1))]), "version 9 is not known")
    damaged = bytearray(npz([("x.npy", one)], zipfile.ZIP_STORED))
    damaged[damaged.index(struct.pack("<f", 3.0))] ^= 0xFF
    bad(f, "wrong-crc.npz", bytes(damaged), 'array "x" cannot be unpacked')
    lie = bytearray(npz([("x.npy", one)]))
    at = lie.index(b"PK\1\2")
    lie[at + 24:at + 28] = struct.pack("<I", 1 << 30)
    bad(f, "bomb.npz", bytes(lie), "claims 1073741824 bytes out of")


def duplicate(data):
    return data.replace(b"y.npy", b"x.npy")


# ---- IDX ----

def idx(kind, dims, data):
    return bytes([0, 0, kind, len(dims)]) + b"".join(struct.pack(">I", d) for d in dims) + data


def make_idx():
    images, labels = idx(8, (2, 3, 3), IMAGES), idx(8, (2,), b"\1\0")
    packed = gzip.compress(images, mtime=0)
    put("tests/fuzz/formats/idx/images", images)
    put("tests/fuzz/formats/idx/images.gz", packed)
    put("tests/fuzz/formats/idx/labels", labels)
    put("tests/fuzz/formats/idx/float", idx(0x0D, (2,), struct.pack(">2f", 0.5, -1)))
    put("tests/data/datasets/images-idx3.gz", packed)
    put("tests/data/datasets/labels-idx1", labels)
    put("tests/data/datasets/three-labels-idx1", idx(8, (3,), b"\1\0\1"))
    put("tests/data/datasets/color-idx4", idx(8, (1, 2, 2, 3), bytes(range(12))))

    f = "bad-idx"
    bad(f, "empty", b"", "the file is empty")
    bad(f, "short-header", images[:9], "the IDX file is truncated")
    bad(f, "truncated", images[:-3], "declares uint8 [2, 3, 3], 18 bytes, but holds 15")
    bad(f, "truncated.gz", packed[:-12], "truncated")
    bad(f, "damaged.gz", packed[:20] + b"\xff\xff\xff\xff" + packed[24:], "damaged")
    bad(f, "wrong-checksum.gz", packed[:-8] + b"\0\0\0\0" + packed[-4:], "damaged")
    bad(f, "trailing", images + b"x", "bytes follow")
    bad(f, "trailing.gz", gzip.compress(images + b"x", mtime=0), "bytes follow")
    bad(f, "png", b"\x89PNG\r\n\x1a\n" + b"\0" * 20, "this is a PNG image, not an IDX file")
    bad(f, "npz", GOOD_NPZ, "this is a NumPy archive (.npz), not an IDX file")
    bad(f, "text.gz", gzip.compress(b"hello world", mtime=0), "this is a text, not an IDX file")
    bad(f, "five-axes", idx(8, (1,) * 5, b"\0"), "has 5 axes")
    bad(f, "huge", idx(0x0E, (0xFFFFFFFF,) * 4, b""), "more than the limit")
    bad(f, "huge-claim", idx(8, (60000, 28, 28), b"\0" * 10), "47040000 bytes, but holds 10")


# ---- protobuf and ONNX ----

def varint(n):
    n &= (1 << 64) - 1
    out = b""
    while n > 0x7F:
        out += bytes([n & 0x7F | 0x80])
        n >>= 7
    return out + bytes([n])


def number(field, n):
    return varint(field << 3) + varint(n)


def message(field, data):
    data = data.encode() if isinstance(data, str) else data
    return varint(field << 3 | 2) + varint(len(data)) + data


def value_info(name, elem, dims):
    shape = b"".join(message(1, number(1, d) if isinstance(d, int) else message(2, d)) for d in dims)
    return message(1, name) + message(2, message(1, number(1, elem) + message(2, shape)))


def tensor(name, elem, dims, raw=None, external=None, packed=False):
    out = message(1, b"".join(varint(d) for d in dims)) if packed else b"".join(number(1, d) for d in dims)
    out += number(2, elem) + message(8, name)
    if raw is not None:
        out += message(9, raw)
    if external:
        for key, value in external:
            out += message(13, message(1, key) + message(2, value))
        out += number(14, 1)
    return out


def graph(nodes, initializers, inputs, outputs):
    return (b"".join(message(1, n) for n in nodes) + message(2, "tiny") + b"".join(message(5, t) for t in initializers)
            + b"".join(message(11, v) for v in inputs) + b"".join(message(12, v) for v in outputs))


def model(g, ir=8, opset=17):
    return (number(1, ir) + message(2, "maker") + message(3, "1.2") + message(7, g)
            + message(8, message(1, "") + number(2, opset)) + message(8, message(1, "com.microsoft") + number(2, 1)))


def matmul():
    return message(1, "x") + message(1, "w") + message(2, "y") + message(4, "MatMul")


X, Y = value_info("x", 1, ["N", 4]), value_info("y", 1, ["N", 3])
W = tensor("w", 1, (4, 3), b"\0" * 48)


def make_onnx():
    good = model(graph([matmul()], [W], [X], [Y]))
    external = model(graph([matmul()], [tensor("w", 1, (4, 3), external=[("location", "weights.bin"), ("offset", "64"),
                                                                         ("length", "48")])], [X], [Y]))
    old = model(graph([matmul()], [tensor("w", 1, (4, 3), b"\0" * 48, packed=True)],
                      [X, value_info("w", 1, [4, 3])], [Y]), ir=3, opset=9)
    for name, data in (("good", good), ("external", external), ("old", old)):
        put(f"tests/fuzz/formats/onnx_header/{name}", data)
        put(f"tests/data/models/{name}.onnx", data)

    f = "bad-onnx"
    bad(f, "empty.onnx", b"", "the file is empty")
    bad(f, "zip.onnx", npz([("a/b", b"x" * 50)]), "this is a zip archive, not an ONNX model")
    bad(f, "npz.onnx", GOOD_NPZ, "this is a NumPy archive (.npz), not an ONNX model")
    bad(f, "pytorch.onnx", npz([("model/data.pkl", b"x" * 50)]), "this is a PyTorch file")
    bad(f, "pickle.onnx", b"\x80\x02cmodule\nname\n" + b"x" * 50, "this is a Python pickle")
    bad(f, "safetensors.onnx", struct.pack("<Q", 20) + b'{"w":{"dtype":"F32"}}', "this is a safetensors file")
    bad(f, "page.onnx", b"<!DOCTYPE html><html></html>", "this is a web page (a failed download?), not an ONNX model")
    bad(f, "lfs.onnx", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "run git lfs pull")
    bad(f, "json.onnx", b'{"nodes": []}\n', "this is JSON, not an ONNX model")
    bad(f, "text.onnx", b"ir_version: 8\ngraph {}\n", "this is a text, not an ONNX model")
    bad(f, "zeros.onnx", b"\0" * 600, "this is a file of zeros")
    bad(f, "hdf5.onnx", b"\x89HDF\r\n\x1a\n" + b"\0" * 40, "this is an HDF5 file")
    bad(f, "noise.onnx", bytes((i * 197 + 91) % 256 for i in range(300)), "not an ONNX model")
    bad(f, "truncated.onnx", good[:60], "the ONNX model is truncated")
    bad(f, "truncated-after-graph.onnx", good[:-3], "truncated or broken after its graph")
    bad(f, "no-graph.onnx", number(1, 8) + message(2, "maker"), "not an ONNX model")
    bad(f, "two-graphs.onnx", good + message(7, graph([], [], [X], [Y])), "is there twice")
    bad(f, "wrong-size.onnx", model(graph([matmul()], [tensor("w", 1, (4, 3), b"\0" * 47)], [X], [Y])),
        'initializer "w" takes 48 bytes by its shape, but holds 47')
    bad(f, "overflow.onnx", model(graph([], [tensor("w", 1, (1 << 40, 1 << 40), b"")], [X], [Y])),
        'the shape of initializer "w" is absurd')
    bad(f, "negative.onnx", model(graph([], [tensor("w", 1, (-4, 3), b"")], [X], [Y])), "an initializer cannot be read")
    bad(f, "no-location.onnx", model(graph([], [tensor("w", 1, (4,), external=[("offset", "0")])], [X], [Y])),
        "an external initializer names no file")
    bad(f, "bad-offset.onnx",
        model(graph([], [tensor("w", 1, (4,), external=[("location", "a"), ("offset", "-1")])], [X], [Y])),
        "an initializer cannot be read")
    bad(f, "nine-axes.onnx", model(graph([], [], [value_info("x", 1, [1] * 9)], [Y])), "an input or output cannot be read")


# ---- GGUF ----

def text(s):
    return struct.pack("<Q", len(s)) + s.encode()


def pair(key, kind, data):
    return text(key) + struct.pack("<I", kind) + data


ARCHITECTURE = pair("general.architecture", 8, text("llama"))


def info(name, dims, kind, offset):
    return text(name) + struct.pack("<I", len(dims)) + b"".join(struct.pack("<Q", d) for d in dims) + struct.pack(
        "<IQ", kind, offset)


def gguf(pairs, infos, data, version=3, n_tensors=None, n_pairs=None, magic=b"GGUF"):
    head = magic + struct.pack("<IQQ", version, len(infos) if n_tensors is None else n_tensors,
                               len(pairs) if n_pairs is None else n_pairs)
    head += b"".join(pairs) + b"".join(infos)
    return head + b"\0" * (-len(head) % 32) + data


def make_gguf():
    pairs = [ARCHITECTURE, pair("llama.block_count", 4, struct.pack("<I", 2)),
             pair("llama.rope.freq_base", 6, struct.pack("<f", 10000)), pair("general.offset", 5, struct.pack("<i", -3)),
             pair("tokenizer.ggml.tokens", 9, struct.pack("<IQ", 8, 2) + text("a") + text("bc")),
             pair("tokenizer.ggml.scores", 9, struct.pack("<IQ", 6, 2) + b"\0" * 8)]
    infos = [info("token_embd.weight", (32, 2), 8, 0), info("output_norm.weight", (4,), 0, 96)]
    good = gguf(pairs, infos, b"\0" * 68 + b"\0" * 28 + b"\0" * 16)
    put("tests/fuzz/formats/gguf_header/good", good)
    put("tests/fuzz/formats/gguf_header/version2", gguf(pairs[:1], [], b"", version=2))
    put("tests/data/models/good.gguf", good)

    f = "bad-gguf"
    bad(f, "empty.gguf", b"", "this is an empty file, not a GGUF model")
    bad(f, "onnx.gguf", model(graph([matmul()], [W], [X], [Y])), "not a GGUF model")
    bad(f, "old.gguf", b"lmgg" + b"\1\0\0\0" * 10, "this is a GGML file, older than GGUF")
    bad(f, "magic-only.gguf", b"GGUF", "ends inside its first 24 bytes")
    bad(f, "version1.gguf", gguf(pairs, infos, b"", version=1), "GGUF version 1 is not supported")
    bad(f, "big-endian.gguf", gguf(pairs, infos, b"", version=3 << 24), "big endian")
    bad(f, "truncated.gguf", good[:-4], 'tensor "output_norm.weight" ends at byte')
    bad(f, "truncated-header.gguf", good[:200], "ends inside the")
    bad(f, "many-tensors.gguf", gguf(pairs, infos, b"", n_tensors=1 << 60), "the limit is 1048576 each")
    bad(f, "many-keys.gguf", gguf(pairs, infos, b"", n_pairs=1 << 19), "ends inside the header")
    bad(f, "long-key.gguf", gguf([struct.pack("<Q", 1 << 62)], [], b"\0" * 64, n_pairs=1), "ends inside the metadata")
    bad(f, "key-type.gguf", gguf([pair("k", 99, b"\0" * 16)], [], b""), 'key "k" has unknown type 99')
    bad(f, "nested-array.gguf", gguf([pair("k", 9, struct.pack("<IQ", 9, 1) + b"\0" * 16)], [], b""),
        'key "k" is an array of type 9')
    bad(f, "huge-array.gguf", gguf([pair("k", 9, struct.pack("<IQ", 10, 1 << 61))], [], b"\0" * 64),
        "ends inside the metadata")
    bad(f, "huge-string-array.gguf", gguf([pair("k", 9, struct.pack("<IQ", 8, 1 << 61))], [], b"\0" * 64),
        "ends inside the metadata")
    bad(f, "key-twice.gguf", gguf([ARCHITECTURE, ARCHITECTURE], [], b""), 'key "general.architecture" is there twice')
    bad(f, "tensor-twice.gguf", gguf([ARCHITECTURE], [info("t", (4,), 0, 0), info("t", (4,), 0, 32)], b"\0" * 64),
        'tensor "t" is there twice')
    bad(f, "tensor-type.gguf", gguf([ARCHITECTURE], [info("t", (32,), 4, 0)], b"\0" * 64), 'tensor "t" has type 4')
    bad(f, "five-axes.gguf", gguf([ARCHITECTURE], [info("t", (1,) * 5, 0, 0)], b"\0" * 64), 'tensor "t" has 5 axes')
    bad(f, "odd-row.gguf", gguf([ARCHITECTURE], [info("t", (33,), 8, 0)], b"\0" * 64), "not a multiple of 32")
    bad(f, "overflow.gguf", gguf([ARCHITECTURE], [info("t", (1 << 32, 1 << 32), 0, 0)], b"\0" * 64),
        'the shape of tensor "t" is absurd')
    bad(f, "gap.gguf", gguf([ARCHITECTURE], [info("t", (4,), 0, 1 << 40)], b"\0" * 64), "expected at 0")
    bad(f, "alignment.gguf", gguf([ARCHITECTURE, pair("general.alignment", 4, struct.pack("<I", 24))], [], b""),
        "general.alignment is 24")
    bad(f, "long-name.gguf", gguf([ARCHITECTURE], [info("n" * 64, (4,), 0, 0)], b"\0" * 64), "a name of 64 bytes")


# ---- datasets ----

def q(*values):
    return struct.pack(f"<{len(values)}q", *values)


def f4(*values):
    return struct.pack(f"<{len(values)}f", *values)


def make_datasets():
    d = "tests/data/datasets/"
    ids = npy("<i8", (4, 2), q(1, 2, 3, 4, 1, 2, 7, 8))
    put(d + "tokens.npz", npz([("input_ids.npy", ids), ("labels.npy", npy("<i8", (4, 2), q(2, -100, 4, 1, 2, -1, 8, 0)))]))
    put(d + "image.npz", GOOD_NPZ)
    put(d + "unlabelled.npz", npz([("x.npy", npy("<f4", (3, 2), f4(1, 2, 3, 4, 5, 6)))]))
    put(d + "targets.npz", npz([("x.npy", npy("<f4", (3, 2), f4(1, 2, 3, 4, 5, 6))),
                                ("labels.npy", npy("<f8", (3,), struct.pack("<3d", 0.5, 1.5, -2)))]))
    put(d + "nan.npz", npz([("x.npy", npy("<f4", (3, 2), f4(1, 2, 3, float("nan"), 5, 6)))]))
    put(d + "infinity.npz", npz([("x.npy", npy("<f2", (3,), struct.pack("<3e", 1, 2, float("inf"))))]))
    put(d + "out-of-range.npz", npz([("x.npy", npy("<f4", (3, 1), f4(1, 2, 3))),
                                     ("labels.npy", npy("<i4", (3,), struct.pack("<3i", 0, 9, 10)))]))
    put(d + "negative-label.npz", npz([("x.npy", npy("<f4", (2, 1), f4(1, 2))), ("labels.npy", npy("<i8", (2,), q(0, -1)))]))
    put(d + "counts.npz", npz([("x.npy", npy("<f4", (3, 1), f4(1, 2, 3))), ("labels.npy", npy("<i8", (2,), q(0, 1)))]))
    put(d + "scalar.npz", npz([("x.npy", npy("<f4", (), f4(1)))]))
    put(d + "no-examples.npz", npz([("x.npy", npy("<f4", (0, 4), b""))]))
    put(d + "empty-examples.npz", npz([("x.npy", npy("<f4", (1 << 60, 0), b""))]))
    put(d + "only-labels.npz", npz([("labels.npy", npy("<i8", (2,), q(0, 1)))]))
    put(d + "label-shape.npz", npz([("x.npy", npy("<f4", (1, 1), f4(1))), ("labels.npy", npy("<i8", (1, 2, 2), q(0, 1, 0, 1)))]))
    put(d + "wide-label.npz", npz([("x.npy", npy("<f4", (1, 1), f4(1))), ("labels.npy", npy("<u8", (1,), b"\xff" * 8))]))
    put(d + "large-id.npz", npz([("input_ids.npy", npy("<i8", (2, 2), q(1, 2, 3, 1 << 40)))]))
    put(d + "text.txt", b"".join(b"line %06d\n" % i for i in range(1500)))
    put(d + "binary.txt", b"text\0and more")
    put(d + "empty.txt", b"")


def main():
    make_npz()
    make_idx()
    make_onnx()
    make_gguf()
    make_datasets()


main()
