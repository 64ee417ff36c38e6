"""Drawings of things and coloured shapes, varied as people vary them.

Labels of a thing: its class (a concept, one of the shapes, or UNTAUGHT) and, for shapes, its colour.
"""

import json
import math
import random
from functools import cache
from pathlib import Path

import cv2
import numpy as np

HERE = Path(__file__).parent.parent
ART = HERE / "cache" / "art"
CONCEPTS = json.loads((HERE / "concepts.json").read_text())
QUESTIONS = json.loads((HERE / "questions.json").read_text())
SHAPES = list(QUESTIONS["shapes"])
COLOURS = list(QUESTIONS["colours"])
# Complete sets, whose drawings evaluation calls the artwork trained on; those of the other sets are for training only.
EMOJI = ("noto", "noto-v1", "fluent-color", "fluent-flat", "fluent-3d", "fxemoji", "emojione", "emojione-v1", "streamline")
UNTAUGHT = len(CONCEPTS) + len(SHAPES)
CLASSES = UNTAUGHT + 1
RGB = {"red": [(220, 30, 35), (180, 20, 30), (240, 60, 50)], "orange": [(245, 135, 20), (255, 160, 50), (230, 110, 10)],
       "yellow": [(250, 220, 30), (255, 240, 80), (235, 200, 20)], "green": [(40, 160, 60), (20, 110, 40), (120, 200, 80)],
       "blue": [(30, 80, 200), (20, 40, 140), (80, 150, 240)], "purple": [(125, 40, 160), (90, 30, 130), (160, 80, 210)],
       "pink": [(250, 130, 180), (255, 170, 200), (235, 90, 150)], "brown": [(120, 70, 30), (95, 55, 25), (150, 95, 55)],
       "black": [(15, 15, 15), (0, 0, 0), (40, 40, 40)], "white": [(250, 250, 250), (255, 255, 255), (235, 235, 230)],
       "grey": [(128, 128, 128), (160, 160, 160), (95, 95, 95)]}


@cache
def sprites(small=False):
    """All drawings, RGBA [n, 128, 128, 4], or [n, 64, 64, 4] for things that will be small anyway."""
    if not small:
        return np.load(ART / "sprites.npy", mmap_mode="r")
    path = ART / "sprites64.npy"
    if not path.exists():
        half = np.lib.format.open_memmap(str(path) + ".tmp", "w+", np.uint8, (len(sprites()), 64, 64, 4))
        for i, image in enumerate(sprites()):
            image = image.astype(np.float32)
            image[..., :3] *= image[..., 3:]
            image = image.reshape(64, 2, 64, 2, 4).mean((1, 3))
            image[..., :3] /= np.maximum(image[..., 3:], 1e-3)
            half[i] = np.clip(image + 0.5, 0, 255)
        half.flush()
        Path(str(path) + ".tmp").rename(path)
    return np.load(path, mmap_mode="r")


@cache
def drawings(split):
    """Sprite numbers by class for "train", "emoji" (the part of it that sets of emoji drew), "eval-art", "untaught-train" or
    "untaught-eval"."""
    in_split = (lambda e: e["split"] == "train" and e["source"] in EMOJI) if split == "emoji" else (lambda e: e["split"] == split)
    found = {}
    for i, entry in enumerate(json.loads((ART / "index.json").read_text())):
        if in_split(entry):
            found.setdefault(entry["concept"] if entry["concept"] >= 0 else UNTAUGHT, []).append((entry["source"], i))
    # A source counts once for a concept, however many variants it draws.
    by_source = {}
    for label, entries in found.items():
        sources = {}
        for source, i in entries:
            sources.setdefault(source, []).append(i)
        by_source[label] = list(sources.values()) if label != UNTAUGHT else [[i] for _, i in entries]
    return by_source


def shape(rng, name, colour, side):
    """A coloured shape, RGBA [side, side, 4], drawn four times too large and shrunk."""
    big = 4 * side
    mask = np.zeros((big, big), np.uint8)
    c, r = big / 2, big * 0.46
    turn = rng.uniform(-0.25, 0.25)

    def polygon(points):
        pts = np.array([[c + r * x, c + r * y] for x, y in points])
        pts = (pts - c) @ np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]]) + c
        cv2.fillPoly(mask, [np.round(pts).astype(np.int32)], 255)

    if name == "circle":
        cv2.circle(mask, (int(c), int(c)), int(r), 255, -1)
    elif name == "ring":
        cv2.circle(mask, (int(c), int(c)), int(r), 255, -1)
        cv2.circle(mask, (int(c), int(c)), int(r * rng.uniform(0.45, 0.75)), 0, -1)
    elif name == "square":
        s = 0.82
        polygon([(-s, -s), (s, -s), (s, s), (-s, s)])
    elif name == "triangle":
        polygon([(0, -0.95), (0.95, 0.75), (-0.95, 0.75)])
    elif name == "star":
        inner = rng.uniform(0.36, 0.5)
        polygon([((1 if i % 2 == 0 else inner) * math.sin(i * math.pi / 5), -(1 if i % 2 == 0 else inner) * math.cos(i * math.pi / 5)) for i in range(10)])
    else:
        t = rng.uniform(0.2, 0.36)
        polygon([(-t, -1), (t, -1), (t, -t), (1, -t), (1, t), (t, t), (t, 1), (-t, 1), (-t, t), (-1, t), (-1, -t), (-t, -t)])
    mask = cv2.resize(mask, (side, side), interpolation=cv2.INTER_AREA)
    base = np.array(rng.choice(RGB[colour]), np.float32) + np.array([rng.uniform(-12, 12) for _ in range(3)])
    out = np.empty((side, side, 4), np.uint8)
    out[..., :3] = np.clip(base, 0, 255)
    out[..., 3] = mask
    if rng.random() < 0.25:
        outline(out, (0, 0, 0) if base.mean() > 60 else (255, 255, 255), max(1, side // 48))
    return out


def outline(image, colour, width):
    """Draws the silhouette's edge, inside the image, in place."""
    alpha = image[..., 3]
    kernel = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
    edge = cv2.subtract(cv2.dilate(alpha, kernel), cv2.erode(alpha, kernel))[..., None] / 255.0
    image[..., :3] = (image[..., :3] * (1 - edge) + np.array(colour) * edge).astype(np.uint8)
    image[..., 3] = cv2.max(alpha, cv2.dilate(alpha, kernel))


def sketch(image):
    """A line drawing of a sprite: dark where its colours change."""
    flat = image[..., :3].astype(np.float32) * (image[..., 3:] / 255.0) + 255 * (1 - image[..., 3:] / 255.0)
    grey = cv2.cvtColor(flat.astype(np.uint8), cv2.COLOR_RGB2GRAY)
    edge = cv2.absdiff(cv2.dilate(grey, np.ones((3, 3), np.uint8)), grey)
    out = image.copy()
    out[..., :3] = (255 - np.clip(edge.astype(np.int32) * 3, 0, 255))[..., None].astype(np.uint8)
    return out


def ink(image):
    """A drawing in flat colours with dark lines between them and around it, as one would fill in a line drawing."""
    lines = sketch(image)[..., :3]
    flat = cv2.medianBlur(np.ascontiguousarray(image[..., :3]), 7)
    image[..., :3] = (flat.astype(np.uint16) * lines // 255).astype(np.uint8)
    outline(image, (0, 0, 0), 2)
    return image


def premultiplied(image):
    """RGBA as f32 with colours times their opacity, so that what is transparent does not bleed into its neighbours."""
    image = image.astype(np.float32)
    image[..., :3] *= image[..., 3:] / 255
    return image


def warp(rng, image):
    """The same drawing in other proportions: its pixels moved by up to a tenth of its side, smoothly."""
    side = image.shape[0]
    generator = np.random.default_rng(rng.getrandbits(32))
    moves = generator.standard_normal((2, 4, 4), dtype=np.float32) * side * rng.uniform(0.01, 0.05)
    fields = [cv2.resize(m, (side, side), interpolation=cv2.INTER_CUBIC) for m in moves]
    ys, xs = np.mgrid[0:side, 0:side].astype(np.float32)
    moved = cv2.remap(premultiplied(image), xs + fields[0], ys + fields[1], cv2.INTER_LINEAR)
    moved[..., :3] *= 255 / np.maximum(moved[..., 3:], 1)
    return np.clip(moved, 0, 255).astype(np.uint8)


def restyle(rng, image):
    """A drawing as another hand would have drawn and coloured it."""
    if rng.random() < 0.5:
        image = warp(rng, image)
    roll = rng.random()
    if roll < 0.38:
        pass
    elif roll < 0.52:
        image = ink(image)
    elif roll < 0.58:
        image[..., :3] = cv2.cvtColor(image[..., :3], cv2.COLOR_RGB2GRAY)[..., None]
    elif roll < 0.66:
        levels = rng.choice((2, 3, 4))
        step = 256 // levels
        image[..., :3] = (cv2.medianBlur(np.ascontiguousarray(image[..., :3]), 5) // step) * step + step // 2
    elif roll < 0.72:
        image = sketch(image)
    elif roll < 0.90:
        hsv = cv2.cvtColor(np.ascontiguousarray(image[..., :3]), cv2.COLOR_RGB2HSV).astype(np.int16)
        hsv[..., 0] = (hsv[..., 0] + rng.choice((rng.randint(-10, 10), rng.randint(-10, 10), rng.randint(-90, 90)))) % 180
        hsv[..., 1] = np.clip(hsv[..., 1] * rng.uniform(0.4, 1.5), 0, 255)
        hsv[..., 2] = np.clip(hsv[..., 2] * rng.uniform(0.6, 1.25), 0, 255)
        image[..., :3] = cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB)
    else:
        gain = np.array([rng.uniform(0.8, 1.15) for _ in range(3)])
        image[..., :3] = np.clip(image[..., :3] * gain + rng.uniform(-25, 25), 0, 255)
    if rng.random() < 0.22:
        outline(image, rng.choice(((0, 0, 0), (255, 255, 255), (40, 40, 40))), rng.choice((1, 2, 2)))
    return image


def pick(rng, split="train", untaught=0.06, shapes=0.12, small=False):
    """A random thing: (RGBA sprite, class, colour or -1). Mirror images count as the same thing."""
    roll = rng.random()
    if roll < shapes:
        name, colour = rng.choice(SHAPES), rng.randrange(len(COLOURS))
        return shape(rng, name, COLOURS[colour], 64 if small else 128), len(CONCEPTS) + SHAPES.index(name), colour
    if roll < shapes + untaught:
        found = drawings("untaught-train" if split == "train" else "untaught-eval")
        label = UNTAUGHT
    else:
        found = drawings(split)
        label = rng.randrange(len(CONCEPTS))
        while label not in found:
            label = rng.randrange(len(CONCEPTS))
    image = np.array(sprites(small)[rng.choice(rng.choice(found[label]))])
    return image, label, -1


def place(rng, canvas, sprite, cx, cy, size, turn=0.0, stretch=1.0, mirror=False, opacity=1.0):
    """Pastes a sprite with its longer side `size` pixels; returns its box (x0, y0, x1, y1)."""
    if mirror:
        sprite = sprite[:, ::-1]
    side = sprite.shape[0]
    scale = size / (side * 0.94)
    sprite = premultiplied(sprite)
    if scale < 0.5:
        factor = max(scale * 1.4, 0.12)
        sprite = cv2.resize(sprite, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        scale /= factor
        side = sprite.shape[0]
    cos, sin = math.cos(turn) * scale, math.sin(turn) * scale
    matrix = np.array([[cos * stretch, -sin, 0], [sin * stretch, cos, 0]], np.float32)
    reach = side * scale * 0.75 * max(1, stretch)
    x0, y0 = max(0, int(cx - reach)), max(0, int(cy - reach))
    x1, y1 = min(canvas.shape[1], int(cx + reach) + 1), min(canvas.shape[0], int(cy + reach) + 1)
    if x1 - x0 < 2 or y1 - y0 < 2:
        return None
    matrix[:, 2] = (cx - x0, cy - y0) - matrix[:, :2] @ (side / 2, side / 2)
    warped = cv2.warpAffine(sprite, matrix, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR)
    alpha = warped[..., 3:] / 255 * opacity
    region = canvas[y0:y1, x0:x1]
    region *= 1 - alpha
    region += warped[..., :3] * opacity
    rows, columns = np.where(warped[..., 3].max(1) > 60)[0], np.where(warped[..., 3].max(0) > 60)[0]
    if len(rows) == 0 or len(columns) == 0:
        return None
    return x0 + columns[0], y0 + rows[0], x0 + columns[-1] + 1, y0 + rows[-1] + 1
