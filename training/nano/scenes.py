"""Pictures with things and print in them, and all that is true of them.

A scene is 224 x 224 while training, any size for evaluation. Its truth is a list of things (class, colour,
box) and a list of lines of print (text, quadrilateral), so that every question has a known answer.
"""

import random
from dataclasses import dataclass, field

import cv2
import numpy as np

from . import lines, photos, things


@dataclass
class Thing:
    label: int
    colour: int
    box: tuple  # x0, y0, x1, y1 in pixels


@dataclass
class Print:
    text: str
    quad: np.ndarray  # the cap band of the line: top-left, top-right, bottom-right, bottom-left; capitals' top to baseline
    held_out: bool = False


@dataclass
class Scene:
    image: np.ndarray  # u8 RGB
    things: list = field(default_factory=list)
    print: list = field(default_factory=list)
    photo: bool = False


def colour(rng, pale=False):
    if pale:
        return np.array([rng.uniform(190, 255) for _ in range(3)], np.float32)
    return np.array([rng.uniform(0, 255) for _ in range(3)], np.float32)


def tiling(rng, h, w):
    """A pattern f32 [h, w, 3]: one figure over and over on a lattice, in colours near each other."""
    generator = np.random.default_rng(rng.getrandbits(32))
    period, spread, turn = np.exp(rng.uniform(np.log(6), np.log(26))), rng.uniform(5, 70), rng.uniform(0, 1.57)
    base = colour(rng, rng.random() < 0.3)
    canvas = np.empty((h, w, 3), np.float32)
    canvas[:] = base + generator.uniform(-spread, spread, 3)
    reach = int(0.71 * (h + w) / period / 1.4) + 1
    corners, slant, size = rng.randint(3, 7), rng.choice((0, 0.5)), rng.uniform(0.3, 0.62) * period
    figure = rng.choice(("disc", "polygon", "polygon", "cube", "arc"))
    ring = 2 * np.pi * np.arange(corners) / corners + rng.uniform(0, 1.57)
    ring = np.stack([np.cos(ring), np.sin(ring)], 1) * size
    hexagon = np.stack([np.sin(np.pi / 3 * np.arange(6)), np.cos(np.pi / 3 * np.arange(6))], 1) * size
    gaps = rng.choice((0, 0, 0.3)) if period < 14 else 0
    for row in range(-reach, reach + 1):
        for column in range(-reach, reach + 1):
            u, v = (column + slant * (row % 2)) * period, row * period * (0.87 if slant else 1)
            x, y = w / 2 + u * np.cos(turn) - v * np.sin(turn), h / 2 + u * np.sin(turn) + v * np.cos(turn)
            if not (-period < x < w + period and -period < y < h + period) or rng.random() < gaps:
                continue
            hue = [float(c) for c in base + generator.uniform(-spread, spread, 3)]
            if figure == "disc":
                cv2.circle(canvas, (int(x), int(y)), max(1, int(size)), hue, -1)
            elif figure == "polygon":
                cv2.fillConvexPoly(canvas, (ring + (x, y)).astype(np.int32), hue, cv2.LINE_8)
            elif figure == "cube":
                for i in range(0, 6, 2):
                    face = np.stack([np.zeros(2), hexagon[i - 1], hexagon[i], hexagon[i + 1]]) + (x, y)
                    cv2.fillConvexPoly(canvas, face.astype(np.int32), [c * (0.6 + 0.2 * i / 2) for c in hue])
            else:
                cv2.ellipse(canvas, (int(x), int(y)), (int(period / 2), int(period / 2)), rng.choice((0, 90, 180, 270)), 0, 180, hue, max(1, int(size / 3)))
    return canvas


def backdrop(rng, h, w, split="train", photo=None):
    """A colour backdrop f32 [h, w, 3]; `photo` forces a photograph or none. The patterns of evaluation are other people's."""
    if split == "train" and photo is not True and rng.random() < 0.14:
        made = tiling(rng, h, w)
        return cv2.GaussianBlur(made, (0, 0), rng.uniform(0.6, 2)) if rng.random() < 0.4 else made
    kind = rng.random()
    if photo is True or (photo is None and kind > 0.80):
        pool = photos.colours(split)
        image = pool[rng.randrange(len(pool))]
        ph, pw = image.shape[:2]
        side = rng.uniform(0.25, 1.0)
        ch, cw = max(16, int(ph * side)), max(16, int(min(pw, ph * w / h) * side))
        y, x = rng.randrange(ph - ch + 1), rng.randrange(pw - cw + 1)
        piece = cv2.resize(image[y:y + ch, x:x + cw], (w, h), interpolation=cv2.INTER_AREA).astype(np.float32)
        if rng.random() < 0.5:
            piece = piece[:, ::-1].copy()
        return piece
    if kind < 0.40:
        base = np.full((h, w, 3), 255.0, np.float32) if rng.random() < 0.35 else np.empty((h, w, 3), np.float32)
        if base[0, 0, 0] != 255.0 or not np.isfinite(base).all():
            base[:] = colour(rng, rng.random() < 0.6)
        return base
    if kind < 0.58:
        a, b = colour(rng), colour(rng)
        ramp = np.linspace(0, 1, h, dtype=np.float32)[:, None, None] * rng.uniform(0, 1) + np.linspace(0, 1, w, dtype=np.float32)[None, :, None] * rng.uniform(0, 1)
        return a + (b - a) * ramp / max(ramp.max(), 1e-3)
    if kind < 0.70:
        cells = np.random.default_rng(rng.getrandbits(32)).uniform(0, 255, (rng.randint(2, 7), rng.randint(2, 7), 3)).astype(np.float32)
        cloud = cv2.resize(cells, (w, h), interpolation=rng.choice((cv2.INTER_CUBIC, cv2.INTER_LINEAR, cv2.INTER_NEAREST)))
        base = colour(rng)
        return base + (cloud - base) * rng.uniform(0.1, 0.7)
    if kind < 0.76:  # stripes or checks
        a, b = colour(rng), colour(rng)
        period = rng.randint(6, 40)
        u = (np.arange(w) // period % 2)[None, :] if rng.random() < 0.5 else (np.arange(h) // period % 2)[:, None]
        v = (np.arange(h) // period % 2)[:, None] if rng.random() < 0.4 else 0
        mix = ((u + v) % 2).astype(np.float32) * np.ones((h, w), np.float32)
        return a + (b - a) * mix[..., None] * rng.uniform(0.2, 0.9)
    base = np.empty((h, w, 3), np.float32)
    base[:] = colour(rng)
    noise = np.random.default_rng(rng.getrandbits(32)).standard_normal((h, w, 3), dtype=np.float32)
    if kind > 0.78:  # loose marks: clutter that is no thing
        for _ in range(rng.randint(3, 14)):
            p, q = (rng.randrange(w), rng.randrange(h)), (rng.randrange(w), rng.randrange(h))
            cv2.line(base, p, q, tuple(float(c) for c in colour(rng)), rng.randint(1, 4), cv2.LINE_AA)
        return base
    return base + noise * rng.uniform(5, 60)


def finish(rng, canvas, strength=1.0):
    """Light, blur, noise and compression of the whole picture; u8 RGB."""
    h, w = canvas.shape[:2]
    if rng.random() < 0.3 * strength:
        a, b = rng.uniform(0.6, 1.15), rng.uniform(0.6, 1.15)
        axis = np.linspace(a, b, w, dtype=np.float32)[None, :, None] if rng.random() < 0.5 else np.linspace(a, b, h, dtype=np.float32)[:, None, None]
        canvas = canvas * axis
    return lines.degrade(rng, canvas, 0.8 * strength)


def shadow(rng, canvas, cx, cy, size):
    if rng.random() < 0.15:
        h, w = canvas.shape[:2]
        y, x = int(cy + size * 0.42), int(cx)
        mask = np.zeros((h, w), np.float32)
        cv2.ellipse(mask, (x, y), (max(2, int(size * 0.4)), max(2, int(size * 0.1))), 0, 0, 360, 0.4, -1)
        canvas *= 1 - cv2.GaussianBlur(mask, (0, 0), max(1, size * 0.04))[..., None]


def put(rng, canvas, cx, cy, size, split="train", plain=False, chosen=None):
    """Draws one thing; returns it or None."""
    sprite, label, hue = chosen or things.pick(rng, split, small=size < SMALL)
    if hue < 0 and not plain:
        sprite = things.restyle(rng, sprite)
    if not plain:
        shadow(rng, canvas, cx, cy, size)
    turn = 0.0 if plain or rng.random() < 0.5 else rng.gauss(0, 0.16)
    stretch = 1.0 if plain or hue >= 0 or rng.random() < 0.6 else rng.uniform(0.82, 1.2)
    box = things.place(rng, canvas, sprite, cx, cy, size, turn, stretch, hue < 0 and rng.random() < 0.5, 1.0)
    return box and Thing(label, hue, box)


def contrast_ok(canvas, cx, cy, size, sprite):
    """False where a plain-coloured sprite would melt into what is behind it."""
    x0, y0 = int(max(0, cx - size / 2)), int(max(0, cy - size / 2))
    ground = canvas[y0:int(cy + size / 2) + 1, x0:int(cx + size / 2) + 1]
    if ground.size == 0:
        return False
    alpha = sprite[..., 3] > 128
    fore = sprite[..., :3][alpha]
    if not len(fore):
        return False
    difference = np.abs(fore.mean(0) - ground.reshape(-1, 3).mean(0)).max()
    return difference > 34 or fore.std(0).max() > 45


def choose(rng, canvas, cx, cy, size, split, **kinds):
    for _ in range(6):
        chosen = things.pick(rng, split, small=size < SMALL, **kinds)
        if contrast_ok(canvas, cx, cy, size, chosen[0]):
            break
    return chosen


SMALL = 72  # things below this many pixels are drawn from half-size artwork
PLACES = {"left": (0.2, 0.5), "right": (0.8, 0.5), "top": (0.5, 0.2), "bottom": (0.5, 0.8), "middle": (0.5, 0.5)}


def positions(rng, count, size):
    """Centres of `count` things in a unit square and their sides: named places for up to five, else scattered."""
    if count == 1:
        wide = size == "free" and rng.random() < 0.4
        return [(0.5 + rng.gauss(0, 0.04 if not wide else 0.12), 0.5 + rng.gauss(0, 0.04 if not wide else 0.12), rng.uniform(0.25, 0.95) if not wide else rng.uniform(0.2, 0.5))]
    if count <= 5 and rng.random() < 0.6:
        chosen = rng.sample(list(PLACES.values()), count)
        side = rng.uniform(0.18, 0.36) if count > 2 else rng.uniform(0.2, 0.46)
        if count == 2 and rng.random() < 0.4:
            chosen = rng.choice([[PLACES["left"], PLACES["right"]], [PLACES["top"], PLACES["bottom"]]])
        return [(x + rng.gauss(0, 0.025), y + rng.gauss(0, 0.025), min(side * rng.uniform(0.8, 1.15), 0.5)) for x, y in chosen]
    spots, tries = [], 0
    side = {2: 0.4, 3: 0.34, 4: 0.3}.get(count, 0.24)
    while len(spots) < count and tries < 400:
        tries += 1
        s = side * rng.uniform(0.6, 1.0)
        x, y = rng.uniform(s / 2, 1 - s / 2), rng.uniform(s / 2, 1 - s / 2)
        if all(max(abs(x - a), abs(y - b)) > 0.52 * (s + t) for a, b, t in spots):
            spots.append((x, y, s))
    return spots


def write(rng, canvas, held_out=False, area=None, size=None, angle=None, text=None):
    """Draws one line of print somewhere in `area` (x0, y0, x1, y1); returns it or None."""
    h, w = canvas.shape[:2]
    x0, y0, x1, y1 = area or (0, 0, w, h)
    size = size or int(np.exp(rng.uniform(np.log(13), np.log(max(14, min(90, (y1 - y0) * 0.6))))))
    for _ in range(5):
        line = lines.draw(rng, size, text=text, held_out=held_out)
        if line is not None and line.mask.shape[1] <= (x1 - x0) * 0.97 and line.mask.shape[0] <= (y1 - y0):
            break
        size = max(12, int(size * 0.8))
    else:
        return None
    mh, mw = line.mask.shape
    angle = rng.gauss(0, 0.08) if angle is None and rng.random() < 0.35 else (angle or 0.0)
    cx = rng.uniform(x0 + mw / 2, max(x0 + mw / 2, x1 - mw / 2))
    cy = rng.uniform(y0 + mh / 2, max(y0 + mh / 2, y1 - mh / 2))
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, -sin], [sin, cos]], np.float32)
    offset = np.array([cx, cy], np.float32) - turn @ np.array([mw / 2, mh / 2], np.float32)
    matrix = np.concatenate([turn, offset[:, None]], 1)
    cover = cv2.warpAffine(line.mask, matrix, (w, h), flags=cv2.INTER_LINEAR).astype(np.float32)[..., None] / 255 if angle else None
    quad = np.array([[line.left, line.cap_top], [line.right, line.cap_top], [line.right, line.baseline], [line.left, line.baseline]], np.float32)
    quad = quad @ turn.T + offset
    if cover is None:
        cover = np.zeros((h, w, 1), np.float32)
        ix, iy = int(round(offset[0])), int(round(offset[1]))
        ax, ay, bx, by = max(0, ix), max(0, iy), min(w, ix + mw), min(h, iy + mh)
        cover[ay:by, ax:bx, 0] = line.mask[ay - iy:by - iy, ax - ix:bx - ix] / 255.0
        quad += np.array([ix, iy], np.float32) - offset
    px0, py0 = np.maximum(quad.min(0).astype(int), 0)
    px1, py1 = quad.max(0).astype(int) + 1
    region = canvas[py0:py1, px0:px1]
    if region.size == 0:
        return None
    if rng.random() < 0.3:  # on a label of its own
        grow = (line.baseline - line.cap_top) * rng.uniform(0.3, 0.9)
        centre = quad.mean(0)
        along, across = (quad[1] - quad[0]), (quad[3] - quad[0])
        along, across = along / max(np.linalg.norm(along), 1), across / max(np.linalg.norm(across), 1)
        label = quad + grow * (np.sign((quad - centre) @ along)[:, None] * along + np.sign((quad - centre) @ across)[:, None] * across * 1.2)
        cv2.fillConvexPoly(canvas, np.round(label).astype(np.int32), tuple(float(c) for c in colour(rng, rng.random() < 0.5)), cv2.LINE_AA)
    ground = region @ np.array([0.299, 0.587, 0.114], np.float32)
    level = lines.ink(rng, ground)
    hue = colour(rng)
    luma = float(hue @ np.array([0.299, 0.587, 0.114], np.float32))
    tint = np.clip(hue * (level / max(luma, 1)), 0, 255) if rng.random() < 0.5 else np.full(3, level)
    canvas *= 1 - cover
    canvas += cover * tint.astype(np.float32)
    return Print(line.text, quad, held_out)


def crop(rng, side, split="train", plain=False):
    """One thing as a glimpse shows it: (u8 RGB [side, side, 3], class, colour). `plain` leaves the drawing as it is."""
    if split == "train" and not plain and rng.random() < 0.05:
        return nothing(rng, side), things.UNTAUGHT, -1
    density = rng.uniform(0.42, 1.35)
    n = int(side * density)
    canvas = np.ascontiguousarray(backdrop(rng, n, n, split))
    fill = rng.uniform(0.66, 0.95)
    cx, cy = n / 2 + rng.gauss(0, 0.035) * n, n / 2 + rng.gauss(0, 0.035) * n
    if rng.random() < 0.3:  # a neighbour shows at an edge
        angle = rng.uniform(0, 2 * np.pi)
        put(rng, canvas, n / 2 + 0.8 * n * np.cos(angle), n / 2 + 0.8 * n * np.sin(angle), n * fill * rng.uniform(0.6, 1), split)
    thing = put(rng, canvas, cx, cy, n * fill, split, plain, choose(rng, canvas, cx, cy, n * fill, split))
    if not plain and rng.random() < 0.1:  # something in front of a part of it
        at = rng.choice(((0, rng.random()), (1, rng.random()), (rng.random(), 1)))
        cv2.circle(canvas, (int(at[0] * n), int(at[1] * n)), int(n * rng.uniform(0.1, 0.3)), tuple(float(c) for c in colour(rng)), -1)
    image = finish(rng, canvas)
    image = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA if n > side else cv2.INTER_LINEAR)
    return image, thing.label if thing else things.UNTAUGHT, thing.colour if thing else -1


def noise(rng, h, w):
    """Noise f32 [h, w, 3]: independent pixels or soft blobs of some size, grey or coloured, weak or strong."""
    generator = np.random.default_rng(rng.getrandbits(32))
    grain = rng.choice((1, 1, 2, 4, 8, 16))
    shape = (-(-h // grain), -(-w // grain), rng.choice((1, 3)))
    made = generator.uniform(0, 255, shape) if rng.random() < 0.5 else 128 + rng.uniform(20, 70) * generator.standard_normal(shape)
    made = made.astype(np.float32).repeat(3 // shape[2], 2)
    return np.clip(cv2.resize(made, (w, h), interpolation=rng.choice((cv2.INTER_NEAREST, cv2.INTER_CUBIC))), 0, 255)


def nothing(rng, side, split="train"):
    """A picture of nothing taught: a photograph, noise or a bare backdrop."""
    if rng.random() < 0.2:
        return finish(rng, noise(rng, side, side))
    canvas = backdrop(rng, side, side, split, photo=rng.random() < 0.8)
    return finish(rng, np.ascontiguousarray(canvas))


def scene(rng, side=224, split="train", print_chance=0.3, count=None, held_out=False):
    """A picture of up to nine things, perhaps with print, perhaps of nothing."""
    h, w = side, side
    canvas = np.ascontiguousarray(backdrop(rng, h, w, split))
    result = Scene(canvas)
    if count is None:
        count = rng.choices(range(10), (16, 36, 18, 14, 8, 6, 5, 4, 3, 2))[0]
    if count == 0:
        result.photo = rng.random() < 0.7
        canvas = np.ascontiguousarray(noise(rng, h, w) if rng.random() < 0.15 else backdrop(rng, h, w, split, photo=result.photo))
    repeated = None
    if count > 1 and rng.random() < 0.35:
        repeated = things.pick(rng, split)
    for x, y, s in positions(rng, count, "free"):
        size = max(26 * side / 224, s * side)
        chosen = repeated if repeated and rng.random() < 0.75 else choose(rng, canvas, x * w, y * h, size, split)
        thing = put(rng, canvas, x * w, y * h, size, split, chosen=(chosen[0].copy(), *chosen[1:]))
        if thing:
            result.things.append(thing)
    if rng.random() < print_chance:
        for _ in range(rng.choice((1, 1, 2, 3))):
            free = free_area(rng, result, w, h)
            written = free and write(rng, canvas, held_out, free)
            if written:
                result.print.append(written)
    result.image = finish(rng, canvas)
    return result


def free_area(rng, scene_, w, h):
    """A rectangle without things in it, or None."""
    boxes = [t.box for t in scene_.things] + [(*p.quad.min(0), *p.quad.max(0)) for p in scene_.print]
    for _ in range(12):
        bw, bh = rng.uniform(0.35, 1.0) * w, rng.uniform(0.12, 0.4) * h
        x, y = rng.uniform(0, w - bw), rng.uniform(0, h - bh)
        if all(x + bw <= b[0] or x >= b[2] or y + bh <= b[1] or y >= b[3] for b in boxes):
            return x, y, x + bw, y + bh
    return None


if __name__ == "__main__":
    import time
    rng = random.Random(3)
    for _ in range(20):
        scene(rng), crop(rng, 96)
    start = time.time()
    crops = [crop(rng, 96)[0] for _ in range(240)]
    print(f"{240 / (time.time() - start):.0f} crops a second")
    start = time.time()
    many = [scene(rng) for _ in range(100)]
    print(f"{100 / (time.time() - start):.0f} scenes a second")
    sheet = np.concatenate([np.concatenate(crops[i * 12:i * 12 + 12], 1) for i in range(8)])
    cv2.imwrite("cache/crops.png", sheet[..., ::-1])
    rows = []
    for i in range(4):
        row = []
        for s in many[i * 6:i * 6 + 6]:
            image = s.image.copy()
            for t in s.things:
                cv2.rectangle(image, t.box[:2], t.box[2:], (255, 0, 0), 1)
            for p in s.print:
                cv2.polylines(image, [np.round(p.quad).astype(np.int32)], True, (0, 255, 0), 1)
            row.append(image)
        rows.append(np.concatenate(row, 1))
    cv2.imwrite("cache/scenes.png", np.concatenate(rows)[..., ::-1])
