"""The sample pictures of the README and the command line's tests. `python -m nano.samples ../fixtures/images`.

Composed of Noto Emoji and Fluent Emoji drawings and Debian's fonts (Andika and Vollkorn, which nano never trained on).
"""

import json
import sys
from pathlib import Path

import cv2
import numpy as np

from . import fonts, things


def drawing(emoji, source):
    for i, entry in enumerate(json.loads((things.ART / "index.json").read_text())):
        if entry["emoji"].strip("\ufe0f") == emoji and entry["source"] == source:
            return np.array(things.sprites()[i])
    raise SystemExit(f"no {source} drawing of {emoji}")


def compose(size, ground, placed, written):
    """placed: (emoji or (shape, colour), source, cx, cy, side); written: (text, family, em, x, baseline, colour, label or None)."""
    import random
    canvas = np.empty((size[1], size[0], 3), np.float32)
    top, bottom = ground
    canvas[:] = np.linspace(0, 1, size[1], dtype=np.float32)[:, None, None] * (np.array(bottom, np.float32) - top) + top
    rng = random.Random(1)
    for what, source, cx, cy, side in placed:
        sprite = things.shape(rng, *what, 128) if isinstance(what, tuple) else drawing(what, source)
        things.place(rng, canvas, sprite, cx, cy, side)
    image = fonts.Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))
    pen = fonts.ImageDraw.Draw(image)
    for text, family, em, x, y, colour, label in written:
        face = next(f for f in fonts.faces(True) if f["family"] == family and "Bold" not in f["path"] and "Italic" not in f["path"])
        font = fonts.load(face["path"], face["index"], em)
        box = pen.textbbox((x, y), text, font=font, anchor="ls")
        if label:
            pen.rounded_rectangle((box[0] - em // 2, box[1] - em // 2, box[2] + em // 2, box[3] + em // 2), em // 4, fill=label)
        pen.text((x, y), text, font=font, fill=colour, anchor="ls")
    return np.asarray(image)


SAMPLES = {
    "market.png": ((480, 320), ((250, 247, 238), (232, 222, 200)),
                   [("🍎", "noto", 96, 170, 130), ("🐕", "noto", 380, 170, 150)],
                   [("OPEN 9–17 h", "Andika", 30, 152, 290, (250, 250, 245), (40, 90, 70))]),
    "three-cats.png": ((360, 360), ((205, 228, 245), (240, 248, 252)),
                       [("🐈", "fluent-color", 80, 110, 100), ("🐈", "noto", 280, 120, 110), ("🐈", "noto-v1", 180, 270, 105)], []),
    "shapes.png": ((320, 240), ((255, 255, 255), (255, 255, 255)),
                   [(("circle", "red"), "", 60, 120, 76), (("triangle", "blue"), "", 160, 120, 76), (("star", "yellow"), "", 260, 120, 76)], []),
    "sign.png": ((400, 220), ((120, 150, 120), (90, 115, 95)), [],
                 [("Bäckerei Müller", "Vollkorn", 36, 52, 90, (60, 30, 10), (250, 235, 200)), ("frisches Brot 2,80 €", "Vollkorn", 27, 70, 160, (60, 30, 10), (250, 235, 200))]),
    "penguin.png": ((300, 300), ((170, 205, 235), (235, 245, 250)), [("🐧", "noto", 150, 150, 200)], []),
}


def main():
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    for name, parts in SAMPLES.items():
        cv2.imwrite(str(out / name), compose(*parts)[..., ::-1])


if __name__ == "__main__":
    main()
