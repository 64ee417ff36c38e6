"""Lines of print: text drawn by a font, with what a line finder and a reader need to know of it.

A line's box runs from BOX_ABOVE cap heights above the capitals' top to BOX_BELOW below the baseline; a strip is
that box at STRIP pixels high.
"""

import random
from dataclasses import dataclass

import cv2
import numpy as np

from . import fonts, words

BOX_ABOVE, BOX_BELOW = 0.3, 0.35  # in cap heights


@dataclass
class Line:
    text: str
    mask: np.ndarray  # u8 ink coverage, rows x columns
    left: float  # of the ink, in columns of mask
    right: float
    cap_top: float  # in rows of mask
    baseline: float
    family: str


def draw(rng, size, text=None, held_out=False, faces=None, kinds=(0.84, 0.09, 0.07)):
    """One line at an em of `size` pixels, or None where the face cannot write the text."""
    candidates = faces or pool(held_out)
    if isinstance(candidates, dict):
        kind = rng.choices(("text", "display", "handwriting"), kinds)[0]
        candidates = candidates.get(kind) or candidates["text"]
    family = candidates[rng.randrange(len(candidates))]
    face = family[rng.randrange(len(family))]
    if text is None:
        text = words.line(rng, held_out)
    text = "".join(c for c in text if c in face["characters"] or c == " ").strip()
    text = " ".join(text.split())
    if not text:
        return None
    try:
        font = fonts.load(face["path"], face["index"], size)
        box = font.getbbox(text, anchor="ls")
        caps = font.getbbox("HE", anchor="ls")
    except OSError:
        return None
    width, height, cap = box[2] - box[0], box[3] - box[1], -caps[1]
    if width < 2 or height < 3 or cap < 4 or width > 60 * size or height > 3 * size:
        return None
    pad = 2
    image = fonts.Image.new("L", (width + 2 * pad, height + 2 * pad))
    stroke = 1 if size > 30 and rng.random() < 0.05 else 0
    fonts.ImageDraw.Draw(image).text((pad - box[0], pad - box[1]), text, fill=255, font=font, anchor="ls", stroke_width=stroke)
    baseline = pad - box[1]
    return Line(text, np.asarray(image), pad, pad + width, baseline - cap, baseline, face["family"])


_pools = {}


def pool(held_out):
    """Faces by kind, then by family, so that a family counts once however many faces it has."""
    if held_out not in _pools:
        kinds = {}
        for face in fonts.faces(held_out):
            kinds.setdefault(face["kind"], {}).setdefault(face["family"], []).append(face)
        _pools[held_out] = {kind: list(families.values()) for kind, families in kinds.items()}
    return _pools[held_out]


def background(rng, h, w, photos=None):
    """A grey backdrop f32 [h, w] in 0..255: flat, sloping, cloudy, striped, or a piece of a photograph."""
    base, kind = rng.uniform(0, 255), rng.random()
    if kind < 0.45:
        return np.full((h, w), base, np.float32)
    if kind < 0.65:
        gx, gy = rng.uniform(-60, 60), rng.uniform(-60, 60)
        return base + np.linspace(-gx, gx, w, dtype=np.float32)[None] + np.linspace(-gy, gy, h, dtype=np.float32)[:, None]
    if kind < 0.85 or not photos:
        cells = np.array([rng.gauss(0, rng.uniform(5, 40)) for _ in range(4 * 12)], np.float32).reshape(4, 12)
        return base + cv2.resize(cells, (w, h), interpolation=cv2.INTER_CUBIC)
    photo = photos[rng.randrange(len(photos))]
    ph, pw = photo.shape
    ch, cw = min(ph, max(8, int(h * rng.uniform(0.5, 3)))), min(pw, max(8, int(w * rng.uniform(0.5, 3))))
    y, x = rng.randrange(ph - ch + 1), rng.randrange(pw - cw + 1)
    return cv2.resize(photo[y:y + ch, x:x + cw], (w, h), interpolation=cv2.INTER_AREA).astype(np.float32) * rng.uniform(0.3, 1) + rng.uniform(0, 60)


def ink(rng, ground):
    """A grey level that stands out from the mean of `ground`."""
    mean, spread = float(ground.mean()), float(ground.std())
    contrast = max(rng.triangular(30, 220, 140), 1.5 * spread + 20)
    dark, light = mean - contrast, mean + contrast
    if dark < 0 and light > 255:
        return 0.0 if mean > 127 else 255.0
    return dark if light > 255 or (dark >= 0 and rng.random() < 0.6) else light


def degrade(rng, image, strength=1.0):
    """Blur, noise and JPEG on an f32 grey or colour image in 0..255; u8 out."""
    if rng.random() < 0.45 * strength:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.1))
    if rng.random() < 0.4 * strength:
        noise = np.random.default_rng(rng.getrandbits(32)).standard_normal(image.shape, dtype=np.float32)
        image = image + noise * rng.uniform(1, 14)
    image = np.clip(image, 0, 255).astype(np.uint8)
    if rng.random() < 0.25 * strength:
        _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, rng.randint(30, 90)])
        image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    return image


def strip(rng, height=32, held_out=False, photos=None, clean=False):
    """A strip as the line finder would cut it: (u8 [height, width], text)."""
    line = None
    while line is None:
        size = int(round(np.exp(rng.uniform(np.log(11), np.log(56)))))
        line = draw(rng, size, held_out=held_out)
    h, w = line.mask.shape
    cap = line.baseline - line.cap_top
    margin = int(cap * 1.6) + 3
    ground = background(rng, h + 2 * margin, w + 2 * margin, photos)
    cover = np.zeros(ground.shape, np.float32)
    cover[margin:margin + h, margin:margin + w] = line.mask / 255.0
    if rng.random() < 0.08:  # a neighbouring line or rule shows at the strip's edge
        y = int(margin + line.baseline + cap * rng.uniform(0.45, 0.8)) if rng.random() < 0.5 else int(margin + line.cap_top - cap * rng.uniform(0.35, 0.7))
        shift = rng.randint(-w // 2, w // 2)
        if rng.random() < 0.5:
            cover[max(0, y):max(0, y) + max(1, int(cap * 0.1))] = 1.0
        else:
            top = y if y > margin else y - h
            rows = slice(max(0, top), min(cover.shape[0], top + h))
            piece = np.roll(line.mask, shift, 1)[rows.start - top:rows.stop - top] / 255.0
            cover[rows, margin:margin + w] = np.maximum(cover[rows, margin:margin + w], piece)
    image = ground * (1 - cover) + ink(rng, ground) * cover
    image = degrade(rng, image, 0.3 if clean else 1.0)

    band = np.array([[line.left, line.cap_top], [line.right, line.cap_top], [line.right, line.baseline], [line.left, line.baseline]], np.float32)
    return cut(image, window(rng, band + margin, clean), height), line.text


def window(rng, band, clean=False):
    """Corners as a line finder might put them around a cap band, [4, 2] both: a little off, as finders are."""
    along, down = band[1] - band[0], band[3] - band[0]
    cap = float(np.linalg.norm(down))
    along = along * cap / max(float(np.linalg.norm(along)), 1e-3)
    grow = rng.gauss(0, 0.05) if clean else rng.uniform(-0.16, 0.22)
    above, below = BOX_ABOVE + grow / 2 + rng.gauss(0, 0.05), BOX_BELOW + grow / 2 + rng.gauss(0, 0.05)
    before, after = rng.uniform(0, 0.7), rng.uniform(0, 0.7)
    quad = band + np.array([[-before], [after], [after], [-before]]) * along + np.array([[-above], [-above], [below], [below]]) * down
    if rng.random() < 0.6:
        quad += np.array([[1], [-1], [-1], [1]]) * down * rng.gauss(0, 0.06)
        quad[:2] += along * rng.gauss(0, 0.12)
    return quad.astype(np.float32)


def cut(image, quad, height=32):
    """The strip [height, width] inside a quadrilateral of a grey picture."""
    across, length = float(np.linalg.norm(quad[3] - quad[0])), float(np.linalg.norm(quad[1] - quad[0]))
    width = int(np.clip(round(height * length / across / 4) * 4, 16, 1024))
    if across > 1.6 * height:
        factor = height * 1.3 / across
        image = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        quad = quad * np.float32(factor)
    target = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    return cv2.warpPerspective(image, cv2.getPerspectiveTransform(quad, target), (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


if __name__ == "__main__":
    import time
    from pathlib import Path
    rng = random.Random(1)
    start = time.time()
    rows = [strip(rng)[0] for _ in range(300)]
    print(f"{300 / (time.time() - start):.0f} strips a second, mean width {np.mean([r.shape[1] for r in rows]):.0f}")
    sheet = np.full((34 * 40, 700), 128, np.uint8)
    for i, row in enumerate(rows[:40]):
        sheet[34 * i:34 * i + 32, :min(700, row.shape[1])] = row[:, :700]
    Path("cache").mkdir(exist_ok=True)
    cv2.imwrite("cache/strips.png", sheet)
