"""GGUF files for the tests of `weights`, in `fixtures/gguf`: `python crates/weights/tests/golden/make.py`, with numpy, gguf
and safetensors.

    blocks.gguf          a tensor of two rows in each type, of random blocks, and metadata of each type
    blocks.safetensors   what the `gguf` package makes of those blocks
"""

from pathlib import Path

import gguf
import numpy as np
from safetensors.numpy import save_file

OUT = Path(__file__).parents[4] / "fixtures" / "gguf"
ROWS, COLUMNS = 2, 512
TYPES = ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K"]
# Where the f16 scales of a block lie.
SCALES = {"Q8_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}


def blocks(name, random):
    """Rows of random bytes whose scales are numbers."""
    kind = gguf.GGMLQuantizationType[name]
    if name in ("F32", "F16", "BF16"):
        values = random.standard_normal((ROWS, COLUMNS)).astype(np.float32)
        return kind, values if name == "F32" else gguf.quants.quantize(values, kind)
    values, size = gguf.GGML_QUANT_SIZES[kind]
    data = random.integers(0, 256, (ROWS * COLUMNS // values, size), dtype=np.uint8)
    for at in SCALES[name]:
        scales = (random.standard_normal(len(data)) * 0.1).astype(np.float16)
        data[:, at : at + 2] = scales[:, None].view(np.uint8)
    return kind, data.reshape(ROWS, -1)


def main():
    OUT.mkdir(exist_ok=True)
    random = np.random.default_rng(7)
    writer = gguf.GGUFWriter(OUT / "blocks.gguf", "llama")
    writer.add_uint32("test.u32", 7)
    writer.add_int32("test.i32", -7)
    writer.add_float32("test.f32", 0.5)
    writer.add_bool("test.bool", True)
    writer.add_uint64("test.u64", 1 << 40)
    writer.add_float64("test.f64", -0.25)
    writer.add_array("test.strings", ["a", "é", ""])
    writer.add_array("test.numbers", [1, -2, 3])
    expected = {}
    for name in TYPES:
        kind, data = blocks(name, random)
        if name in ("F32", "F16"):
            writer.add_tensor(name, data)
        else:
            writer.add_tensor(name, data.view(np.uint8).reshape(ROWS, -1), raw_dtype=kind)
        expected[name] = np.ascontiguousarray(gguf.quants.dequantize(data, kind)).reshape(ROWS, COLUMNS).astype(np.float32)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    save_file(expected, OUT / "blocks.safetensors")
    (OUT / "blocks.safetensors").chmod(0o644)


if __name__ == "__main__":
    main()
