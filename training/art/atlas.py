"""Packs the rendered drawings into one array the trainer can load at once.

    python -m training.art [--cache training/cache/art]

runs ``render.mjs`` (needs Node and ``npm install`` in this folder) and then writes

``sprites.npy``
    uint8 ``[N, 128, 128, 4]``, straight (not premultiplied) RGBA on a
    transparent background; each drawing is trimmed, scaled so that its longer
    side is 120 px, and centred.
``index.json``
    a list of N records: ``emoji``, ``concept`` (its place in
    ``concepts.json``, or -1), ``source`` and ``split``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).resolve().parent
TRAINING = HERE.parent
SPRITE = 128
ARTWORK = 120
# Soft shadows and glows fade to almost nothing; below this alpha a pixel does
# not count as part of the drawing when its edges are looked for.
VISIBLE = 16
# Every code point that is an emoji by itself lies in here.
EMOJI_RANGE = range(0x2000, 0x20000)


def to_sprite(path: Path) -> np.ndarray | None:
    """One trimmed and centred sprite, or None for an empty drawing."""
    image = Image.open(path).convert("RGBA")
    alpha = image.getchannel("A").point(lambda a: 255 if a >= VISIBLE else 0)
    box = alpha.getbbox()
    if box is None:
        return None
    image = image.crop(box)
    scale = ARTWORK / max(image.size)
    size = tuple(max(1, round(side * scale)) for side in image.size)
    # Pillow's resize mixes straight colours, which would let the (arbitrary)
    # colour of transparent pixels bleed into the edges; "RGBa" is premultiplied.
    image = image.convert("RGBa").resize(size, Image.Resampling.LANCZOS).convert("RGBA")
    sprite = np.zeros((SPRITE, SPRITE, 4), np.uint8)
    left, top = (SPRITE - size[0]) // 2, (SPRITE - size[1]) // 2
    sprite[top : top + size[1], left : left + size[0]] = np.asarray(image)
    return sprite


def build(cache: Path) -> None:
    drawings_folder = cache / "drawings"
    drawings_folder.mkdir(parents=True, exist_ok=True)
    # Node has no table of Unicode names; render.mjs finds some artwork by them.
    names = {f"{c:04x}": unicodedata.name(chr(c), "").lower() for c in EMOJI_RANGE if unicodedata.category(chr(c)) == "So"}
    (drawings_folder / "unicode-names.json").write_text(json.dumps(names))
    subprocess.run(["node", str(HERE / "render.mjs"), str(drawings_folder)], check=True)

    sprites, index, seen = [], [], set()
    for drawing in json.loads((drawings_folder / "drawings.json").read_text()):
        sprite = to_sprite(drawings_folder / drawing["file"])
        if sprite is None:
            print("empty drawing:", drawing["file"])
            continue
        # Some sets reuse one picture for several emoji; keep it once a concept.
        key = (drawing["concept"], drawing["source"], sprite.tobytes())
        if drawing["concept"] >= 0 and key in seen:
            continue
        seen.add(key)
        sprites.append(sprite)
        index.append({k: drawing[k] for k in ("emoji", "concept", "source", "split")})

    # A half-written pair must never be picked up by a waiting trainer.
    np.save(cache / "sprites.tmp.npy", np.stack(sprites))
    (cache / "index.tmp.json").write_text(json.dumps(index, ensure_ascii=False))
    (cache / "sprites.tmp.npy").rename(cache / "sprites.npy")
    (cache / "index.tmp.json").rename(cache / "index.json")
    report(index)


def report(index: list[dict]) -> None:
    """Counts, and a warning for each concept that too few sets draw."""
    print(len(index), "sprites")
    for (split, source), count in sorted(Counter((r["split"], r["source"]) for r in index).items()):
        print(f"  {split:15} {source:13} {count}")
    concepts = json.loads((TRAINING / "concepts.json").read_text())
    sources: dict[int, set[str]] = {i: set() for i in range(len(concepts))}
    for record in index:
        if record["split"] == "train":
            sources[record["concept"]].add(record["source"])
    for i, found in sources.items():
        if len(found) < 4:
            print("few training sources:", concepts[i]["en"], sorted(found))


def main() -> None:
    parser = argparse.ArgumentParser(description="Render the training artwork.")
    parser.add_argument("--cache", type=Path, default=TRAINING / "cache" / "art")
    build(parser.parse_args().cache)


if __name__ == "__main__":
    main()
