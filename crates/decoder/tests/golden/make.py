"""Writes small random decoders and what PyTorch makes of them to fixtures/decoder.

    pip install torch==2.15.0 numpy safetensors==0.8.0
    python crates/decoder/tests/golden/make.py

A decoder is NAME.safetensors, parameters named as in Llama's checkpoints; NAME.golden.safetensors holds the tokens of
one sequence, the memory it looks at, the hidden states before and after every layer and the logits of every token, in
one pass over the whole sequence. NAME.json is the configuration.
"""

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

FOLDER = Path(__file__).parents[4] / "fixtures" / "decoder"
BASE = {"rope_theta": 10000.0, "rms_eps": 1e-5, "tied": True, "qkv_bias": False, "cross_attention": False}
CASES = {
    # Grouped queries, biases, a head of its own, and a sequence that fills a block and begins another.
    "grouped": BASE | {"vocab": 61, "hidden": 36, "layers": 2, "heads": 6, "kv_heads": 2, "head_dim": 10, "ffn": 52,
                       "rope_theta": 100000.0, "tied": False, "qkv_bias": True, "tokens": 90},
    # One key head for all, heads wider than the stream.
    "single": BASE | {"vocab": 40, "hidden": 24, "layers": 3, "heads": 5, "kv_heads": 1, "head_dim": 16, "ffn": 33,
                      "rms_eps": 1e-6, "tokens": 20},
    # As many key heads as queries, and a memory to look at.
    "memory": BASE | {"vocab": 50, "hidden": 32, "layers": 2, "heads": 4, "kv_heads": 4, "head_dim": 8, "ffn": 48,
                      "cross_attention": True, "tokens": 70, "memory": 13},
}


class Net(dict):
    """A decoder as a dictionary of parameters."""

    def __init__(self, config, generator):
        c = self.config = config

        def matrix(name, rows, columns, bias=False):
            self[f"{name}.weight"] = torch.randn(rows, columns, generator=generator) * columns**-0.5 * 1.3
            if bias:
                self[f"{name}.bias"] = torch.randn(rows, generator=generator) * 0.5

        def norm(name):
            self[f"{name}.weight"] = 1 + 0.3 * torch.randn(c["hidden"], generator=generator)

        width, kv_width = c["heads"] * c["head_dim"], c["kv_heads"] * c["head_dim"]
        matrix("model.embed_tokens", c["vocab"], c["hidden"])
        for i in range(c["layers"]):
            layer = f"model.layers.{i}"
            blocks = ["self_attn"] + ["cross_attn"] * c["cross_attention"]
            for block in blocks:
                bias = c["qkv_bias"] and block == "self_attn"
                matrix(f"{layer}.{block}.q_proj", width, c["hidden"], bias)
                matrix(f"{layer}.{block}.k_proj", kv_width, c["hidden"], bias)
                matrix(f"{layer}.{block}.v_proj", kv_width, c["hidden"], bias)
                matrix(f"{layer}.{block}.o_proj", c["hidden"], width)
            norm(f"{layer}.input_layernorm")
            norm(f"{layer}.post_attention_layernorm")
            if c["cross_attention"]:
                norm(f"{layer}.cross_attn_layernorm")
            matrix(f"{layer}.mlp.gate_proj", c["ffn"], c["hidden"])
            matrix(f"{layer}.mlp.up_proj", c["ffn"], c["hidden"])
            matrix(f"{layer}.mlp.down_proj", c["hidden"], c["ffn"])
        norm("model.norm")
        if c["cross_attention"]:
            norm("model.memory_norm")
        if not c["tied"]:
            matrix("lm_head", c["vocab"], c["hidden"])

    def norm(self, name, x):
        return F.rms_norm(x, x.shape[-1:], self[f"{name}.weight"], self.config["rms_eps"])

    def linear(self, name, x):
        return F.linear(x, self[f"{name}.weight"], self.get(f"{name}.bias"))

    def rotate(self, x):
        dim = self.config["head_dim"]
        frequency = 1.0 / self.config["rope_theta"] ** (torch.arange(0, dim, 2).float() / dim)
        angle = torch.arange(x.shape[1])[:, None].float() * frequency
        cos, sin = torch.cat([angle, angle], -1).cos(), torch.cat([angle, angle], -1).sin()
        turned = torch.cat([-x[..., dim // 2 :], x[..., : dim // 2]], -1)
        return x * cos + turned * sin

    def attend(self, name, x, memory=None):
        c = self.config
        split = lambda y, heads: y.view(-1, heads, c["head_dim"]).transpose(0, 1)
        source = x if memory is None else memory
        q = split(self.linear(f"{name}.q_proj", x), c["heads"])
        k = split(self.linear(f"{name}.k_proj", source), c["kv_heads"])
        v = split(self.linear(f"{name}.v_proj", source), c["kv_heads"])
        if memory is None:
            q, k = self.rotate(q), self.rotate(k)
        k, v = (y.repeat_interleave(c["heads"] // c["kv_heads"], 0) for y in (k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=memory is None)
        return self.linear(f"{name}.o_proj", y.transpose(0, 1).flatten(1))

    def forward(self, ids, memory):
        c = self.config
        x = self["model.embed_tokens.weight"][ids]
        states = [x]
        if memory is not None:
            memory = self.norm("model.memory_norm", memory)
        for i in range(c["layers"]):
            layer = f"model.layers.{i}"
            x = x + self.attend(f"{layer}.self_attn", self.norm(f"{layer}.input_layernorm", x))
            if memory is not None:
                x = x + self.attend(f"{layer}.cross_attn", self.norm(f"{layer}.cross_attn_layernorm", x), memory)
            y = self.norm(f"{layer}.post_attention_layernorm", x)
            y = F.silu(self.linear(f"{layer}.mlp.gate_proj", y)) * self.linear(f"{layer}.mlp.up_proj", y)
            x = x + self.linear(f"{layer}.mlp.down_proj", y)
            states.append(x)
        head = "model.embed_tokens" if c["tied"] else "lm_head"
        return torch.stack(states), self.norm("model.norm", x) @ self[f"{head}.weight"].T


@torch.no_grad()
def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    for number, (name, config) in enumerate(CASES.items()):
        generator = torch.Generator().manual_seed(number)
        net = Net(config, generator)
        ids = torch.randint(config["vocab"], (config["tokens"],), generator=generator)
        memory = torch.randn(config["memory"], config["hidden"], generator=generator) if "memory" in config else None
        states, logits = net.forward(ids, memory)
        golden = {"ids": ids, "states": states, "logits": logits}
        if memory is not None:
            golden["memory"] = memory
        save_file({key: value.contiguous() for key, value in net.items()}, FOLDER / f"{name}.safetensors")
        save_file({key: value.contiguous() for key, value in golden.items()}, FOLDER / f"{name}.golden.safetensors")
        (FOLDER / f"{name}.json").write_text(json.dumps(config, indent=1) + "\n")
        print(name, sum(value.numel() for value in net.values()), "parameters")


if __name__ == "__main__":
    main()
