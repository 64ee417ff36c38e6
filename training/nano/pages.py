"""Grey pictures full of print: paragraphs, columns, labels, signs; what a line finder trains on."""

import random

import cv2
import numpy as np

from . import lines, photos, scenes, things, words


class Page:
    """A canvas f32 in 0..255 and the lines on it as (text, cap-band quad)."""

    def __init__(self, canvas):
        self.canvas = canvas
        self.lines = []
        self.taken = []

    def free(self, x0, y0, x1, y1):
        return all(x1 <= b[0] or x0 >= b[2] or y1 <= b[1] or y0 >= b[3] for b in self.taken)


def paste(page, line, x, y, level):
    """Inks a line with its mask's corner at whole pixels (x, y); parts outside the canvas are lost."""
    h, w = page.canvas.shape[:2]
    mh, mw = line.mask.shape
    ax, ay, bx, by = max(0, x), max(0, y), min(w, x + mw), min(h, y + mh)
    if bx - ax < 4 or by - ay < 4:
        return
    cover = line.mask[ay - y:by - y, ax - x:bx - x].astype(np.float32) / 255
    region = page.canvas[ay:by, ax:bx]
    if region.ndim == 3:
        cover = cover[..., None]
    region *= 1 - cover
    region += cover * level
    quad = np.array([[line.left + x, line.cap_top + y], [line.right + x, line.cap_top + y], [line.right + x, line.baseline + y], [line.left + x, line.baseline + y]], np.float32)
    page.lines.append((line.text, quad))


def paragraph(rng, page, x0, y0, x1, y1, size, held_out=False, level=None, face=None, align=None, leading=None, text=None):
    """Fills a box with set lines of one face; returns the y below the last."""
    pool = lines.pool(held_out)
    family = face or rng.choice(pool["text"])
    face = [[rng.choice(family)]]
    leading = leading or rng.uniform(1.12, 1.9)
    align = align or rng.choice(("left", "left", "left", "centre", "right"))
    region = page.canvas[int(max(0, y0)):int(y1) + 1, int(max(0, x0)):int(x1) + 1]
    if region.size == 0:
        return y0
    level = lines.ink(rng, region) if level is None else level
    y, pending = y0, []
    last = rng.random() < 0.7
    while y + size * 1.1 < y1:
        content = None
        while content is None:  # as many words as fit
            pending = pending or words.sentence(rng, rng.randint(6, 20), held_out).split()
            text = pending[0]
            used = 1
            while used < len(pending) and (len(text) + 1 + len(pending[used])) * size * 0.52 < x1 - x0:
                text += " " + pending[used]
                used += 1
            if y + size * (1.1 + leading) >= y1 and last and used > 1:
                text = " ".join(pending[:max(1, used // 2)])
            pending = pending[used:]
            content = lines.draw(rng, size, text=text, faces=face)
            if content is None and rng.random() < 0.3:
                return y
        width = content.mask.shape[1]
        if width > (x1 - x0) * 1.25:
            y += size * 0.2
            continue
        x = x0 if align == "left" else x1 - width if align == "right" else (x0 + x1 - width) / 2
        paste(page, content, int(round(x)), int(round(y + size * 0.95 - content.baseline)), level)
        y += size * leading
    return y


def signs(rng, side, held_out=False):
    """A grey picture of a few lines in colour on any backdrop, and the lines as (text, quad)."""
    canvas = np.ascontiguousarray(scenes.backdrop(rng, side, side))
    made = scenes.Scene(canvas)
    for _ in range(rng.choice((1, 1, 2, 3))):
        area = scenes.free_area(rng, made, side, side) if made.print else (4, 4, side - 4, side - 4)
        size = int(np.exp(rng.uniform(np.log(12), np.log(70))))
        written = area and scenes.write(rng, canvas, held_out, area, size)
        if written:
            made.print.append(written)
    return cv2.cvtColor(scenes.finish(rng, canvas), cv2.COLOR_RGB2GRAY), [(p.text, p.quad) for p in made.print]


def picture(rng, side=256, held_out=False):
    """A training picture: (u8 [side, side], lines as (text, quad))."""
    if rng.random() < 0.3:
        return signs(rng, side, held_out)
    big = int(side * 1.25)
    page = Page(np.ascontiguousarray(lines.background(rng, big, big, photos.greys("train"))))
    if rng.random() < 0.35:  # things, so that their edges are not taken for letters
        colour = np.repeat(page.canvas[..., None], 3, 2)
        for _ in range(rng.randint(1, 4)):
            sprite = things.restyle(rng, things.pick(rng)[0])
            size = rng.uniform(0.12, 0.6) * big
            box = things.place(rng, colour, sprite, rng.uniform(0, big), rng.uniform(0, big), size)
            if box:
                page.taken.append(box)
        page.canvas = np.ascontiguousarray(colour @ np.array([0.299, 0.587, 0.114], np.float32))
    kind = rng.random()
    size = int(np.exp(rng.uniform(np.log(9), np.log(78))))
    if kind < 0.12:
        pass
    elif kind < 0.55 and size < 40:
        columns = rng.choice((1, 1, 2)) if size < 24 else 1
        gap = size * rng.uniform(1.2, 3)
        width = (big - gap * (columns - 1)) / columns
        family = rng.choice(lines.pool(held_out)["text"])
        for c in range(columns):
            x0, y = c * (width + gap) + rng.uniform(0, size), rng.uniform(-size, big * 0.3)
            while y < big - size * 2:
                bottom = min(big, y + size * rng.uniform(2, 14))
                y = paragraph(rng, page, x0, y, x0 + width - size, bottom, size, held_out, face=family) + size * rng.uniform(0.5, 2)
    else:
        for _ in range(rng.randint(1, 6)):
            this = max(9, int(size * rng.uniform(0.6, 1.4)))
            line = lines.draw(rng, this, held_out=held_out)
            if line is None:
                continue
            mh, mw = line.mask.shape
            for _ in range(6):
                x, y = rng.randint(min(0, big - mw), max(1, big - mw)), rng.randint(0, max(1, big - mh))
                if page.free(x - 4, y - 3, x + mw + 4, y + mh + 3):
                    ground = page.canvas[max(0, y):y + mh, max(0, x):x + mw]
                    if ground.size:
                        paste(page, line, x, y, lines.ink(rng, ground))
                        page.taken.append((x, y, x + mw, y + mh))
                    break
    image = lines.degrade(rng, page.canvas)
    angle = rng.gauss(0, 2.5) if rng.random() < 0.8 else rng.uniform(-25, 25)
    if rng.random() < 0.35:
        angle = 0.0
    scale = rng.uniform(0.8, 1.1)
    matrix = cv2.getRotationMatrix2D((big / 2, big / 2), angle, scale)
    matrix[:, 2] += side / 2 - big / 2
    image = cv2.warpAffine(image, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT if not page.lines else cv2.BORDER_REPLICATE)
    if rng.random() < 0.3:
        image = 255 - image
    found = [(text, quad @ matrix[:, :2].T.astype(np.float32) + matrix[:, 2].astype(np.float32)) for text, quad in page.lines]
    return image, found


if __name__ == "__main__":
    rng = random.Random(4)
    sheet = []
    for _ in range(4):
        row = []
        for _ in range(6):
            image, found = picture(rng)
            image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
            for _, quad in found:
                cv2.polylines(image, [np.round(quad).astype(np.int32)], True, (0, 200, 0), 1)
            row.append(image)
        sheet.append(np.concatenate(row, 1))
    cv2.imwrite("cache/pages.png", np.concatenate(sheet))
