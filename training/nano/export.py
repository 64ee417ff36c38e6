"""Writes what was trained as checkpoint folders: config.json, tokenizer.json, model.safetensors.

    python -m nano.export                 f16 master to training/export, int8 to crates/nano/model
    python -m nano.export --f32 FOLDER    and f32, as trained, to a folder
    python -m nano.export --random        parts that are not trained yet get made-up weights

Batch norms are folded into their convolutions; all else is as PyTorch has it. In the int8 folder every matrix `name` that ends
in `.weight` is I8 with F32 factors `name_scale`, one an output channel, but for the parts EXACT; everything else is F16.
"""

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from . import model, pipeline, things
from .words import CHARACTERS

ROOT = Path(__file__).parent.parent
RUNS, TOKENIZER, QUESTIONS = ROOT / "runs", ROOT / "tokenizer.json", ROOT / "questions.json"
MASTER, EMBEDDED = ROOT / "export", ROOT.parent / "crates/nano/model"
PARTS = {"tower": "tower", "things": "things", "lines": "lines", "reader": "reader", "fusion": "answer", "decoder": "answer"}
SPECIAL = {"pad": "<pad>", "question": "<q>", "answer": "<a>", "end": "<end>", "read": "<read>"}
VOCABULARY = 1536
EXACT = ("things.", "lines.")  # small parts whose sums are compared with thresholds


def networks(vocabulary=VOCABULARY):
    return {"tower": model.Tower(), "things": model.Things(), "lines": model.Lines(), "reader": model.Reader(len(CHARACTERS)),
            "fusion": model.Fusion(things.CLASSES, len(things.COLOURS)), "decoder": model.Decoder(vocabulary)}


def fold(conv):
    """A model.Conv's kernel and bias, its batch norm within, in f64."""
    norm = conv.norm
    factor = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    kernel = conv.conv.weight.double() * factor[:, None, None, None]
    return kernel, norm.bias.double() - norm.running_mean.double() * factor


def tensors(modules):
    """Every parameter by its dotted name, f32, as the runtime reads it."""
    found = {}
    for part, network in modules.items():
        done = set()
        for name, module in network.named_modules(prefix=part):
            if isinstance(module, model.Conv):
                found[f"{name}.weight"], found[f"{name}.bias"] = fold(module)
                done |= {name, f"{name}.conv", f"{name}.norm"}
            elif name not in done:
                found.update({f"{name}.{key}": p for key, p in module.named_parameters(recurse=False)})
    return {name: np.ascontiguousarray(t.detach().float().numpy()) for name, t in found.items()}


def mix(x):
    """The finalizer of SplitMix64."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def made_up(name, shape, gain=1.0, salt=""):
    """Weights that both languages can make from a name and some salt: whole multiples of an amplitude over 2^23.

    A matrix is uniform with a deviation of gain / sqrt(columns), a norm's weight is near one, all other vectors
    are small.
    """
    seed = 0xCBF29CE484222325
    for byte in (salt + name).encode():
        seed = (seed ^ byte) * 0x100000001B3 % 2 ** 64
    count = int(np.prod(shape))
    with np.errstate(over="ignore"):
        bits = mix(np.uint64(seed) + (np.arange(count, dtype=np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15))
    unit = ((bits >> np.uint64(40)).astype(np.int64) - 2 ** 23).astype(np.float32) / np.float32(2 ** 23)
    if len(shape) > 1:
        return (unit * np.float32(gain * (3 * shape[0] / count) ** 0.5)).reshape(shape)
    return np.float32(name.endswith(".weight")) + unit * np.float32(0.1)


def trained(name, allow_random):
    """A part's state, from the newest run there is, or None."""
    for path in (RUNS / f"{PARTS[name]}.pt", RUNS / f"{PARTS[name]}.done.pt"):
        if path.exists():
            state = torch.load(path, map_location="cpu")
            return state.get("modules", state)[name]
    if not allow_random:
        raise SystemExit(f"{name} is not trained: {RUNS / PARTS[name]}.pt is missing (--random makes it up)")
    return None


def collect(allow_random=False, vocabulary=VOCABULARY):
    """All tensors of the model, and the names of the parts that are made up."""
    found, random = {}, []
    for part, network in networks(vocabulary).items():
        state = trained(part, allow_random)
        if state is not None:
            network.load_state_dict(state)
        made = tensors({part: network})
        if state is None:
            random.append(part)
            made = {name: made_up(name, t.shape) for name, t in made.items()}
        found.update(made)
    return found, random


def restore(found, vocabulary=VOCABULARY):
    """Networks that compute with exported tensors: `tensors` undone, with batch norms that add the bias alone."""
    modules = networks(vocabulary)
    for part, network in modules.items():
        for name, module in network.named_modules(prefix=part):
            get = lambda key: torch.from_numpy(np.asarray(found[f"{name}.{key}"], np.float32))
            if isinstance(module, model.Conv):
                module.conv.weight.data = get("weight")
                module.norm.bias.data = get("bias")
                module.norm.eps = 0.0
            elif f"{name}.weight" in found or not isinstance(module, (torch.nn.Conv2d, torch.nn.BatchNorm2d)):
                for key, p in module.named_parameters(recurse=False):
                    p.data = get(key)
        network.eval()
    return modules


def config(found, special):
    """What the runtime must know beside the weights: sizes as the tensors have them, rules as the pipeline has them."""
    out = lambda name: int(found[f"{name}.weight"].shape[0])
    depth = lambda prefix: sum(name.startswith(prefix) and name[len(prefix):].count(".") == 1 and name.endswith(".weight") for name in found)
    dim, ffn = found["decoder.embed.weight"].shape[1], out("decoder.layers.0.gate")
    trunk = lambda part: {
        "widths": [out(f"{part}.{name}") for name in ("stem.0", "stem.1", "down1", "down2")],
        "depths": [1 if f"{part}.stage{i}.weight" in found else depth(f"{part}.stage{i}.") for i in (1, 2, 3)],
        "mean": 0.5, "deviation": 0.25,
    }
    block = lambda part, name="block": {"heads": out(f"{part}.norm") // 32, "mlp": out(f"{part}.{name}.fc1"), "norm_eps": 1e-5}
    return {
        "model_type": "tiny-vlm-nano",
        "version": 1,
        "tower": {**trunk("tower"), **block("tower"), "glimpse": model.GLIMPSE, "grow": pipeline.GROW},
        "things": {
            **trunk("things"), **block("things"), "top": out("things.top"), "glance": model.GLANCE,
            "most": model.MAX_THINGS, "heat": pipeline.HEAT, "overlap": pipeline.OVERLAP,
        },
        "lines": {
            **trunk("lines"), "top": out("lines.top"), "levels": list(pipeline.LEVELS), "core": pipeline.CORE,
            "cap_range": list(pipeline.CAP_RANGE), "above": pipeline.BOX_ABOVE, "below": pipeline.BOX_BELOW, "ends": pipeline.BOX_ENDS,
        },
        "reader": {
            "widths": [out(f"reader.{name}") for name in ("stem.0", "stem.1", "down1", "down2", "collapse")],
            "depths": [depth("reader.stage1."), depth("reader.stage2."), 1], "blocks": 2, **block("reader", "blocks.0"),
            "strip": model.STRIP, "legible": pipeline.LEGIBLE, "brief": pipeline.BRIEF, "sure": pipeline.SURE, "characters": CHARACTERS,
        },
        "fusion": {"labels": out("fusion.label"), "colours": out("fusion.colour")},
        "decoder": {
            "vocab_size": out("decoder.embed"), "hidden_size": int(dim), "num_hidden_layers": depth_of_decoder(found),
            "num_attention_heads": int(dim) // 32, "num_key_value_heads": int(dim) // 32, "head_dim": 32, "intermediate_size": ffn,
            "rope_theta": 10000.0, "rms_norm_eps": 1e-5, "tie_word_embeddings": True,
        },
        "special_tokens": special,
        "captions": {language: forms[-1] for language, forms in json.loads(QUESTIONS.read_text(encoding="utf-8"))["what"].items()},
    }


def depth_of_decoder(found):
    return 1 + max(int(name.split(".")[2]) for name in found if name.startswith("decoder.layers."))


def quantize(found):
    """Matrices to I8, the largest of each row at 127; vectors and what must be exact to F16."""
    made = {}
    for name, t in found.items():
        if t.ndim < 2 or not name.endswith(".weight") or name.startswith(EXACT):
            made[name] = t.astype(np.float16)
            continue
        rows = t.reshape(len(t), -1)
        scale = np.maximum(np.abs(rows).max(1), np.float32(1e-12)) / np.float32(127)
        made[name] = np.clip(np.rint(rows / scale[:, None]), -127, 127).astype(np.int8).reshape(t.shape)
        made[f"{name}_scale"] = scale.astype(np.float32)
    return made


def write(folder, found, settings, tokenizer):
    folder.mkdir(parents=True, exist_ok=True)
    save_file(found, folder / "model.safetensors")
    (folder / "model.safetensors").chmod(0o644)
    (folder / "config.json").write_text(json.dumps(settings, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    shutil.copyfile(tokenizer, folder / "tokenizer.json")
    size = (folder / "model.safetensors").stat().st_size
    print(f"{folder}: {len(found)} tensors, {size / 1e6:.2f} MB")


def special_tokens(path):
    vocabulary = {t["content"]: t["id"] for t in json.loads(path.read_text(encoding="utf-8"))["added_tokens"]}
    return {key: vocabulary[token] for key, token in SPECIAL.items()}


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--random", action="store_true", help="make up the parts that are not trained")
    options.add_argument("--f32", type=Path, help="a folder for the f32 checkpoint")
    options.add_argument("--tokenizer", type=Path, default=TOKENIZER)
    options.add_argument("--master", type=Path, default=MASTER)
    options.add_argument("--int8", type=Path, default=EMBEDDED)
    options = options.parse_args()
    found, random = collect(options.random)
    if random:
        print("made up:", ", ".join(random))
    settings = config(found, special_tokens(options.tokenizer))
    master = {name: t.astype(np.float16) for name, t in found.items()}
    write(options.master, master, settings, options.tokenizer)
    # The other precisions are made of the master, so that whoever has it can make them too.
    write(options.int8, quantize({name: t.astype(np.float32) for name, t in master.items()}), settings, options.tokenizer)
    if options.f32:
        write(options.f32, found, settings, options.tokenizer)


def load(folder):
    """An exported folder's tensors, widened to f32."""
    found = load_file(folder / "model.safetensors")
    return {name: t.astype(np.float32) for name, t in found.items()}


if __name__ == "__main__":
    main()
