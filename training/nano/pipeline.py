"""The whole of nano in PyTorch: an image and a question in, an answer out.

This is the reference that the Rust runtime agrees with, stage by stage. Where the two could differ by a
rounding (boxes, halvings, ties), the rule is written down here and is integer or order-free.
"""

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image

from . import model
from .layout import reading_order, overlap
from .words import CHARACTERS

HEAT = 0.36  # least centre probability of a thing
OVERLAP = 0.6  # boxes that share more than this of the smaller one are one thing
GROW = 1.2  # a glimpse's side over the longer side of its thing
LEVELS = (112, 288, 704, 1760)  # longer sides at which lines are looked for
ENLARGE = 2.5  # the most that a picture grows for a level
CORE = 0.4  # least probability of a line's core
CAP_RANGE = (6.0, 48.0)  # cap heights, in pixels of a level, that a level may report
BOX_ABOVE, BOX_BELOW, BOX_ENDS = 0.3, 0.35, 0.35  # of a strip around the cap band, in cap heights
MOST_LINES = 1000  # of a picture, at all levels; each costs a run of the reader
LEGIBLE = 0.6  # least mean probability of the characters of a long line
BRIEF = 0.4  # more than that by this over their number: what is no print is often read as one or two characters
SURE = 0.97  # but no more than this


@dataclass
class Thing:
    score: float
    box: tuple  # x0, y0, x1, y1 as fractions of the picture


@dataclass
class Line:
    quad: np.ndarray  # strip corners in pixels: top-left, top-right, bottom-right, bottom-left
    score: float
    text: str = ""
    confidence: float = 0.0


@dataclass
class Seen:
    things: list
    memory: torch.Tensor
    lines: list
    trace: dict = field(default_factory=dict)


def as_tensor(image):
    return torch.from_numpy(np.asarray(image, np.float32) / 255).permute(2, 0, 1)[None]


def peaks(out):
    """Things in the finder's output [5, 20, 20]: at most MAX_THINGS, none overlapping another.

    Of those that overlap the one with the largest product of probability and mean side stays: a part of a thing may well
    be more certain than the whole.
    """
    heat = torch.sigmoid(out[0])
    best = torch.nn.functional.max_pool2d(heat[None, None], 3, 1, 1)[0, 0]
    size = out.shape[1]
    candidates = []
    for row, column in torch.nonzero((heat >= best) & (heat >= HEAT)).tolist():
        log_w, log_h, dx, dy = out[1:, row, column].tolist()
        cx, cy = (column + 0.5 + dx) / size, (row + 0.5 + dy) / size
        w, h = math.exp(min(log_w, 4.0)) / size, math.exp(min(log_h, 4.0)) / size
        box = (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2)
        inside = [min(max(side, 0.0), 1.0) for side in box]
        mean_side = math.sqrt((inside[2] - inside[0]) * (inside[3] - inside[1]))
        candidates.append((heat[row, column].item() * mean_side, Thing(heat[row, column].item(), box)))
    found = []
    for _, thing in sorted(candidates, key=lambda c: -c[0]):
        if all(box_overlap(thing.box, t.box) <= OVERLAP for t in found):
            found.append(thing)
        if len(found) == model.MAX_THINGS:
            break
    return sorted(found, key=lambda t: (t.box[0] + t.box[2], t.box[1] + t.box[3]))


def box_overlap(a, b):
    """The area that two boxes share over the smaller one's."""
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    return w * h / min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))


def glimpse_box(box, width, height):
    """The whole pixels that show a thing: a square GROW times its longer side, moved inside the picture."""
    x0, y0, x1, y1 = box[0] * width, box[1] * height, box[2] * width, box[3] * height
    side = GROW * max(x1 - x0, y1 - y0)

    def span(centre, length):
        size = max(1, min(length, math.floor(side + 0.5)))
        start = min(max(math.floor(centre - size / 2 + 0.5), 0), length - size)
        return start, start + size

    (left, right), (top, bottom) = span((x0 + x1) / 2, width), span((y0 + y1) / 2, height)
    return left, top, right, bottom


def level_size(width, height, level):
    scale = level / max(width, height)
    return tuple(max(16, math.floor(side * scale / 16 + 0.5) * 16) for side in (width, height))


def components(mask):
    """Connected cells (eight neighbours) of a boolean map, in the order of their first cell; each a list of (row, column)."""
    height, width = mask.shape
    seen, found = np.zeros_like(mask), []
    for row, column in zip(*np.nonzero(mask)):
        if seen[row, column]:
            continue
        seen[row, column], stack, cells = True, [(row, column)], []
        while stack:
            r, c = stack.pop()
            cells.append((r, c))
            for rr in range(max(r - 1, 0), min(r + 2, height)):
                for cc in range(max(c - 1, 0), min(c + 2, width)):
                    if mask[rr, cc] and not seen[rr, cc]:
                        seen[rr, cc] = True
                        stack.append((rr, cc))
        found.append(sorted(cells))
    return found


def fit_line(cells, prob, caps):
    """A line through a component: (centre, direction, least and greatest extent, cap height, score), in cells."""
    rows, columns = np.array(cells, np.float64).T
    weight = prob[rows.astype(int), columns.astype(int)].astype(np.float64)
    total = weight.sum()
    cx, cy = (columns + 0.5) @ weight / total, (rows + 0.5) @ weight / total
    x, y = columns + 0.5 - cx, rows + 0.5 - cy
    xx, yy, xy = (x * x) @ weight / total, (y * y) @ weight / total, (x * y) @ weight / total
    spread = math.sqrt((xx - yy) ** 2 + 4 * xy * xy)
    long, short = (xx + yy + spread) / 2, (xx + yy - spread) / 2
    angle = 0.5 * math.atan2(2 * xy, xx - yy) if long > 6 * (short + 0.1) else 0.0
    ux, uy = math.cos(angle), math.sin(angle)
    along = x * ux + y * uy
    cap = 16 * 2.0 ** float(caps[rows.astype(int), columns.astype(int)].astype(np.float64) @ weight / total)
    return (cx, cy), (ux, uy), along.min() - 0.5, along.max() + 0.5, cap, total / len(cells)


def find_lines(out, width, height):
    """Lines in one level's output [2, h, w], as quads in pixels of the picture."""
    prob, caps = torch.sigmoid(out[0]).numpy(), out[1].numpy()
    rows, columns = prob.shape
    sx, sy = width / columns, height / rows
    found = []
    for cells in components(prob >= CORE):
        (cx, cy), (ux, uy), low, high, cap, score = fit_line(cells, prob, caps)
        if not CAP_RANGE[0] <= cap <= CAP_RANGE[1] or (high - low) * 4 < 0.35 * cap or score < 0.5:
            continue
        cap /= 4  # pixels of the level to cells
        low, high = low - BOX_ENDS * cap, high + BOX_ENDS * cap
        above, below = -(0.5 + BOX_ABOVE) * cap, (0.5 + BOX_BELOW) * cap
        corners = [(low, above), (high, above), (high, below), (low, below)]
        quad = np.array([((cx + a * ux - b * uy) * sx, (cy + a * uy + b * ux) * sy) for a, b in corners])
        fit = 1.0 if 3.0 <= cap <= 12.0 else 0.8
        found.append(Line(quad, score * fit))
    return found


def surest_lines(lines):
    """Lines of all levels, the most certain first; they may cover each other."""
    return sorted(lines, key=lambda l: (-l.score, l.quad[0, 1], l.quad[0, 0]))[:MOST_LINES]


def merge_levels(quads, scores):
    """Indices of the lines to keep: of those that cover each other, the one with the highest score, highest first.

    Scores nearer than a thousandth are the same, and the earlier line is kept.
    """
    kept = []
    for i in sorted(range(len(quads)), key=lambda i: -math.floor(1000 * scores[i] + 0.5)):
        if all(overlap(quads[i], quads[k]) < 0.4 for k in kept):
            kept.append(i)
    return kept


def levels(width, height):
    """Longer sides at which a picture is looked at: the first two always, larger ones where it grows by ENLARGE at most."""
    return [level for level in LEVELS if level <= max(ENLARGE * max(width, height), LEVELS[1])]


def halve(grey):
    """Means of 2 x 2 pixels; an odd last row or column is dropped."""
    h, w = grey.shape[0] // 2 * 2, grey.shape[1] // 2 * 2
    g = grey[:h, :w].astype(np.uint16)
    return ((g[0::2, 0::2] + g[0::2, 1::2] + g[1::2, 0::2] + g[1::2, 1::2] + 2) // 4).astype(np.uint8)


def cut_strip(pyramid, quad):
    """The grey strip [32, w] f32 inside a quad, sampled bilinearly from the halving that suits it."""
    across = (np.linalg.norm(quad[3] - quad[0]) + np.linalg.norm(quad[2] - quad[1])) / 2
    along = (np.linalg.norm(quad[1] - quad[0]) + np.linalg.norm(quad[2] - quad[3])) / 2
    width = int(min(max(math.floor(model.STRIP * along / across / 4 + 0.5) * 4, 16), 2048))
    step = 0
    while across / 2 ** step > 1.6 * model.STRIP and min(pyramid[-1].shape) >= 2:
        step += 1
        if step == len(pyramid):
            pyramid.append(halve(pyramid[-1]))
    grey = pyramid[step]
    corners = (quad / 2 ** step).astype(np.float32)
    u = ((np.arange(width, dtype=np.float32) + 0.5) / np.float32(width))[None, :, None]
    v = ((np.arange(model.STRIP, dtype=np.float32) + 0.5) / np.float32(model.STRIP))[:, None, None]
    top, bottom = corners[0] + (corners[1] - corners[0]) * u, corners[3] + (corners[2] - corners[3]) * u
    at = top + (bottom - top) * v - np.float32(0.5)
    h, w = grey.shape
    x, y = np.clip(at[..., 0], 0, w - 1), np.clip(at[..., 1], 0, h - 1)
    x0, y0 = np.floor(x).astype(int), np.floor(y).astype(int)
    fx, fy = x - x0.astype(np.float32), y - y0.astype(np.float32)
    x1, y1 = np.minimum(x0 + 1, w - 1), np.minimum(y0 + 1, h - 1)
    g = grey.astype(np.float32)
    upper, lower = g[y0, x0] + (g[y0, x1] - g[y0, x0]) * fx, g[y1, x0] + (g[y1, x1] - g[y1, x0]) * fx
    return upper + (lower - upper) * fy


def normalise(strip):
    return (strip - strip.mean()) / (strip.std() + 8.0)


def transcribe(logits):
    """Greedy CTC of [n, characters + 1]: the text and the mean probability of its characters."""
    best, ids = torch.softmax(logits, -1).max(-1)
    text, sure = [], []
    for k, i in enumerate(ids.tolist()):
        if i and (k == 0 or ids[k - 1] != i):
            text.append(CHARACTERS[i - 1])
            sure.append(best[k].item())
    return " ".join("".join(text).split()), sum(sure) / len(sure) if sure else 0.0


class Nano:
    """The networks, and the steps between them."""

    def __init__(self, modules, tokenizer=None):
        self.__dict__.update(modules)
        self.tokenizer = tokenizer
        for module in modules.values():
            module.eval()

    @torch.no_grad()
    def look(self, image):
        """Things and memory of a PIL RGB picture; print is found but not read."""
        width, height = image.size
        trace = {}
        out = self.things(as_tensor(image.resize((model.GLANCE, model.GLANCE), Image.BILINEAR)))[0]
        trace.update(things=out)
        things = peaks(out)
        crops = [image.resize((model.GLIMPSE, model.GLIMPSE), Image.BILINEAR, box=glimpse_box(t.box, width, height)) for t in things]
        vectors = self.tower.glimpse(torch.cat([as_tensor(c) for c in crops])) if crops else torch.zeros(0, model.Tower.DIM)
        boxes = torch.tensor([t.box for t in things]).view(-1, 4)
        features = model.position_features((boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2, boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
        lines = self.lines_of(image)
        trace.update(glimpses=vectors, positions=features)
        memory = self.fusion(vectors[None], features[None], torch.tensor([1 if lines else 0]))
        return Seen(things, memory, lines, trace)

    @torch.no_grad()
    def lines_of(self, image):
        """Lines of print, legible ones only, in reading order."""
        width, height = image.size
        grey = image.convert("L")
        found = []
        for level in levels(width, height):
            small = grey.resize(level_size(width, height, level), Image.BILINEAR)
            out = self.lines(torch.from_numpy(np.asarray(small, np.float32) / 255)[None, None])[0]
            found += find_lines(out, width, height)
        pyramid, legible = [np.asarray(grey)], []
        for line in surest_lines(found):
            strip = cut_strip(pyramid, line.quad)
            line.text, line.confidence = transcribe(self.reader(torch.from_numpy(normalise(strip))[None, None])[0])
            if line.text and line.confidence >= min(LEGIBLE + BRIEF / len(line.text), SURE):
                legible.append(line)
        kept = [legible[i] for i in merge_levels([l.quad for l in legible], [l.confidence for l in legible])]
        return [kept[i] for i in reading_order([l.quad for l in kept])]

    @torch.no_grad()
    def ask(self, image, question, limit=120, seen=None):
        """The greedy answer."""
        seen = seen or self.look(image)
        t = self.tokenizer
        ids = [t.token_to_id("<q>"), *t.encode(question).ids, t.token_to_id("<a>")]
        end, read = t.token_to_id("<end>"), t.token_to_id("<read>")
        mask = torch.ones(1, seen.memory.shape[1], dtype=torch.bool)
        answer = []
        while len(answer) < limit:
            best = self.decoder(torch.tensor([ids + answer]), seen.memory, mask)[0, -1].argmax().item()
            if best == end:
                break
            answer.append(best)
        quoted = len(answer) > 1
        text = [l.text for l in seen.lines]
        printed = (" " if quoted else "\n").join(text)
        parts, run = [], []
        for i in answer + [read]:
            if i == read:
                parts.append(t.decode(run))
                run = []
            else:
                run.append(i)
        return printed.join(parts)
