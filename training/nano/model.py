"""The networks of nano.

Small networks that share nothing but a style: 3x3 convolutions with batch norm (folded into the
convolution at export), exact GELU, residual sums outside the activation, pre-norm transformer blocks.

    things   where things are in the whole picture (the glance)
    tower    what a thing is, from a picture of it alone (a glimpse)
    lines    a mask of text lines at stride 4
    reader   a strip 32 pixels high to characters, by CTC
    decoder  question tokens and memory tokens to answer tokens
"""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F

GLANCE = 160  # side of the whole picture at a glance
GLIMPSE = 64  # side of one thing at a glimpse
MAX_THINGS = 12
STRIP = 32  # height of a line strip
WATCHED = 2  # the decoder's layer that training teaches where to look


class Conv(nn.Module):
    """Convolution, batch norm, GELU."""

    def __init__(self, cin, cout, kernel=3, stride=1, padding=None):
        super().__init__()
        padding = kernel // 2 if padding is None else padding
        self.conv = nn.Conv2d(cin, cout, kernel, stride, padding, bias=False)
        self.norm = nn.BatchNorm2d(cout)

    def forward(self, x):
        return F.gelu(self.norm(self.conv(x)))


class Residual(Conv):
    """x + GELU(BN(conv3x3(x)))."""

    def __init__(self, channels):
        super().__init__(channels, channels)

    def forward(self, x):
        return x + super().forward(x)


def scores(q, k, mask=None):
    """q kT / sqrt(d), and next to nothing where the mask is not set."""
    found = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
    return found if mask is None else found.masked_fill(~mask, -1e9)


def attend(q, k, v, mask=None):
    """softmax(q kT / sqrt(d)) v, written out: for sequences this short PyTorch's fused kernel is slower, backwards above all."""
    return torch.softmax(scores(q, k, mask), -1) @ v


class Attention(nn.Module):
    """Self-attention without a mask, heads of 32."""

    def __init__(self, dim):
        super().__init__()
        self.heads = dim // 32
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x):
        b, n, d = x.shape
        q, k, v = self.qkv(x).view(b, n, 3, self.heads, 32).permute(2, 0, 3, 1, 4)
        y = attend(q, k, v)
        return self.proj(y.transpose(1, 2).reshape(b, n, d))


class Block(nn.Module):
    """A pre-norm encoder block: attention, then an MLP of ratio 2."""

    def __init__(self, dim):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attention = Attention(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, 2 * dim)
        self.fc2 = nn.Linear(2 * dim, dim)

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


class Tower(nn.Module):
    """A picture of one thing, RGB [b, 3, h, w] in 0..1, to its features at stride 16 and their mean."""

    DIM = 192

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(Conv(3, 24, 3, 2), Conv(24, 48, 3, 2))
        self.stage1 = nn.Sequential(Residual(48), Residual(48))
        self.down1 = Conv(48, 96, 3, 2)
        self.stage2 = nn.Sequential(Residual(96), Residual(96))
        self.down2 = Conv(96, 192, 3, 2)
        self.stage3 = nn.Sequential(*[Residual(192) for _ in range(3)])
        self.block = Block(192)
        self.norm = nn.LayerNorm(192)

    def forward(self, x):
        x = (x - 0.5) / 0.25
        y = self.stage3(self.down2(self.stage2(self.down1(self.stage1(self.stem(x))))))
        return self.norm(self.block(y.flatten(2).transpose(1, 2)))

    def glimpse(self, x):
        """One vector [b, 192] for a picture of one thing: the mean over its tokens."""
        return self.forward(x).mean(1)


class Things(nn.Module):
    """Where things are, at a glance: RGB [b, 3, h, w] in 0..1 to [b, 5, h/8, w/8].

    The channels are centre logit, log width, log height, dx, dy: width and height in cells of stride 8, dx and
    dy from the cell's middle in cells (Zhou et al., Objects as Points, 2019). It names nothing. The picture is GLANCE
    pixels square: what attends to the whole of it knows places by heart.
    """

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(Conv(3, 16, 3, 2), Conv(16, 32, 3, 2))
        self.stage1 = Residual(32)
        self.down1 = Conv(32, 48, 3, 2)
        self.stage2 = Residual(48)
        self.down2 = Conv(48, 96, 3, 2)
        self.stage3 = Residual(96)
        self.position = nn.Parameter(torch.zeros((GLANCE // 16) ** 2, 96))
        self.block = Block(96)
        self.norm = nn.LayerNorm(96)
        self.lateral = nn.Conv2d(48, 48, 1)
        self.top = nn.Conv2d(96, 48, 1)
        self.mix = Residual(48)
        self.out = nn.Conv2d(48, 5, 1)
        nn.init.zeros_(self.out.bias)
        self.out.bias.data[0] = -3.0

    def forward(self, x):
        x = (x - 0.5) / 0.25
        s8 = self.stage2(self.down1(self.stage1(self.stem(x))))
        y = self.stage3(self.down2(s8))
        b, c, h, w = y.shape
        y = self.norm(self.block(y.flatten(2).transpose(1, 2) + self.position)).transpose(1, 2).reshape(b, c, h, w)
        up = F.interpolate(self.top(y), scale_factor=2.0, mode="nearest")
        return self.out(self.mix(self.lateral(s8) + up))


class Lines(nn.Module):
    """Grey [b, 1, h, w] in 0..1, sides multiples of 16, to [b, 2, h/4, w/4].

    Channel 0 is the logit of a text line's core (the middle half of its cap band), channel 1 the line's cap
    height there, as log2 of pixels over 16.
    """

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(Conv(1, 16, 3, 2), Conv(16, 32, 3, 2))
        self.stage1 = Residual(32)
        self.down1 = Conv(32, 48, 3, 2)
        self.stage2 = Residual(48)
        self.down2 = Conv(48, 64, 3, 2)
        self.stage3 = nn.Sequential(Residual(64), Residual(64))
        self.lateral1 = nn.Conv2d(32, 32, 1)
        self.lateral2 = nn.Conv2d(48, 32, 1)
        self.top = nn.Conv2d(64, 32, 1)
        self.mix = Residual(32)
        self.out = nn.Conv2d(32, 2, 1)

    def forward(self, x):
        x = (x - 0.5) / 0.25
        s4 = self.stage1(self.stem(x))
        s8 = self.stage2(self.down1(s4))
        s16 = self.stage3(self.down2(s8))
        up = F.interpolate(self.top(s16), scale_factor=2.0, mode="nearest") + self.lateral2(s8)
        up = F.interpolate(up, scale_factor=2.0, mode="nearest") + self.lateral1(s4)
        return self.out(self.mix(up))


class Reader(nn.Module):
    """Strips [b, 1, 32, w], each normalised by its mean and deviation, to log-probabilities [b, w/4, characters + 1].

    Class 0 is the CTC blank.
    """

    def __init__(self, characters):
        super().__init__()
        self.stem = nn.Sequential(Conv(1, 32, 3, 2), Conv(32, 64, 3, 2))
        self.stage1 = nn.Sequential(Residual(64), Residual(64))
        self.down1 = Conv(64, 112, 3, (2, 1))
        self.stage2 = nn.Sequential(Residual(112), Residual(112))
        self.down2 = Conv(112, 176, 3, (2, 1))
        self.stage3 = Residual(176)
        self.collapse = Conv(176, 192, (2, 1), (2, 1), 0)
        self.blocks = nn.ModuleList([Block(192), Block(192)])
        self.norm = nn.LayerNorm(192)
        self.out = nn.Linear(192, characters + 1)

    def forward(self, x):
        x = self.down1(self.stage1(self.stem(x)))
        x = self.collapse(self.stage3(self.down2(self.stage2(x))))
        x = x[:, :, 0].transpose(1, 2)
        for block in self.blocks:
            x = block(x)
        return self.out(self.norm(x))


class RmsNorm(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        return F.rms_norm(x, (x.shape[-1],), self.weight, 1e-5)


def rotate(x, positions):
    """Rotary embedding, halves convention, theta 10000. x: [b, heads, n, d]."""
    half = x.shape[-1] // 2
    frequency = 10000.0 ** (-torch.arange(half, dtype=torch.float32) / half)
    angle = positions.float()[..., None] * frequency
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


class DecoderLayer(nn.Module):
    def __init__(self, dim, ffn):
        super().__init__()
        self.heads = dim // 32
        self.self_norm = RmsNorm(dim)
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (nn.Linear(dim, dim, bias=False) for _ in range(4))
        self.cross_norm = RmsNorm(dim)
        self.cross_q, self.cross_k, self.cross_v, self.cross_o = (nn.Linear(dim, dim, bias=False) for _ in range(4))
        self.ffn_norm = RmsNorm(dim)
        self.gate, self.up = nn.Linear(dim, ffn, bias=False), nn.Linear(dim, ffn, bias=False)
        self.down = nn.Linear(ffn, dim, bias=False)

    def split(self, x):
        return x.view(x.shape[0], x.shape[1], self.heads, 32).transpose(1, 2)

    def self_attention(self, x):
        positions = torch.arange(x.shape[1])
        causal = positions[:, None] >= positions
        y = self.self_norm(x)
        q, k, v = self.split(self.q_proj(y)), self.split(self.k_proj(y)), self.split(self.v_proj(y))
        y = attend(rotate(q, positions), rotate(k, positions), v, causal)
        return x + self.o_proj(y.transpose(1, 2).flatten(2))

    def gaze(self, x, memory, memory_mask):
        """How much each head of x [b, d] looks at each token of the memory: [b, heads, m], as logarithms."""
        q, k = self.split(self.cross_q(self.cross_norm(x))[:, None]), self.split(self.cross_k(memory))
        return torch.log_softmax(scores(q, k, memory_mask)[:, :, 0].float(), -1)

    def cross_attention(self, x, memory, memory_mask):
        q = self.split(self.cross_q(self.cross_norm(x)))
        k, v = self.split(self.cross_k(memory)), self.split(self.cross_v(memory))
        y = attend(q, k, v, memory_mask)
        return x + self.cross_o(y.transpose(1, 2).flatten(2))

    def feed_forward(self, x):
        y = self.ffn_norm(x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


class Codebook(nn.Linear):
    """A soft look-up: a vector becomes the mean of the rows, each weighed by how likely the vector is of its class.

    The rows are those of a classifier, which the tower was trained with; here they are kept as they are.
    """

    def __init__(self, dim, classes):
        super().__init__(dim, classes)
        self.requires_grad_(False)

    def forward(self, x):
        return torch.softmax(super().forward(x), -1) @ self.weight


class Fusion(nn.Module):
    """Things become memory tokens: [b, n, 192] glimpses and [b, n, 8] positions to [b, n + 1, 192].

    The first token says whether there is print on the page.
    """

    def __init__(self, classes, colours, dim=192):
        super().__init__()
        self.label = Codebook(Tower.DIM, classes)
        self.colour = Codebook(Tower.DIM, colours)
        self.gain = nn.Parameter(torch.tensor([16.0, 4.0]))  # how much the label and the colour count; glimpses are long vectors
        self.glimpse = nn.Linear(Tower.DIM, dim)
        self.position = nn.Linear(8, dim)
        self.order = nn.Parameter(torch.randn(MAX_THINGS, dim) * 0.5)
        self.page = nn.Parameter(torch.randn(2, dim) * 0.5)

    def forward(self, glimpses, positions, has_print):
        n = glimpses.shape[1]
        known = self.gain[0] * self.label(glimpses) + self.gain[1] * self.colour(glimpses)
        things = self.glimpse(glimpses) + known + self.position(positions) + self.order[:n]
        return torch.cat([self.page[has_print][:, None], things], 1)


def position_features(cx, cy, w, h):
    """What fusion is told of a box given as fractions of the picture: [..., 8]."""
    parts = [cx, cy, w, h, torch.sin(math.pi * cx), torch.sin(math.pi * cy), torch.cos(math.pi * cx), torch.cos(math.pi * cy)]
    return torch.stack(parts, -1)


class Decoder(nn.Module):
    """Token ids [b, n] and memory [b, m, 192] to logits [b, n, vocabulary]; the embedding is the head."""

    def __init__(self, vocabulary, dim=192, layers=4, ffn=288):
        super().__init__()
        self.embed = nn.Embedding(vocabulary, dim)
        nn.init.normal_(self.embed.weight, std=0.05)
        self.memory_norm = RmsNorm(dim)
        self.layers = nn.ModuleList([DecoderLayer(dim, ffn) for _ in range(layers)])
        self.norm = RmsNorm(dim)

    def forward(self, ids, memory, memory_mask):
        return self.watched(ids, memory, memory_mask)[0]

    def watched(self, ids, memory, memory_mask, at=..., ends=-1):
        """The logits at the positions `at` [b, n], and what is on its mind where the question ends [b]: the state that the
        cross-attention of layer WATCHED sees there [b, d], and where that looks [b, heads, m]."""
        memory = self.memory_norm(memory)
        mask = memory_mask[:, None, None, :]
        x = self.embed(ids)
        for i, layer in enumerate(self.layers):
            x = layer.self_attention(x)
            if i == WATCHED:
                state = x[torch.arange(len(ids)), ends]
                gaze = layer.gaze(state, memory, mask)
            x = layer.feed_forward(layer.cross_attention(x, memory, mask))
        return self.norm(x[at]) @ self.embed.weight.T, state, gaze


def parameters(module):
    return sum(p.numel() for p in module.parameters())


if __name__ == "__main__":
    parts = {"tower": Tower(), "things": Things(), "lines": Lines(), "reader": Reader(230), "fusion": Fusion(473, 11), "decoder": Decoder(1536)}
    for name, module in parts.items():
        print(f"{name:8} {parameters(module):9,}")
    print(f"{'all':8} {sum(map(parameters, parts.values())):9,}")
