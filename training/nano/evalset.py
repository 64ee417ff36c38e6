"""Held-out pictures with their questions and accepted answers, a row of the table at a time.

    python -m nano.evalset OUT --count 2000        the full set
    python -m nano.evalset ../fixtures/eval --count 20 --small    what is committed

Writes OUT/labels.jsonl: {"image", "row", "lang", "question", "answers", "score"} a line. `score` says how an
answer is judged: "name" (one of `answers`, case aside, and nothing else), "exact" (the same), "caption" (the same
things and places, in any order), "unknown" (declines), "known" (does not decline), "text" (character errors).
Artwork, faces, words and photographs are those never trained on, except in the rows that say so.
"""

import argparse
import json
import random
import re
from pathlib import Path

import cv2
import numpy as np

from . import lines, pages, photos, questions, scenes, things

W = questions.WORDS


def canvas_for(rng, h, w, split="eval"):
    return np.ascontiguousarray(scenes.backdrop(rng, h, w, split))


def accepted(label, language):
    return [questions.name(label, language), *questions.synonyms(label, language)]


def one_thing(rng, split, chosen=None):
    """One thing, in the middle, by itself."""
    side = rng.choice((224, 256, 320, 400, 512))
    canvas = canvas_for(rng, side, side)
    size, cx, cy = side * rng.uniform(0.4, 0.85), side * (0.5 + rng.gauss(0, 0.03)), side * (0.5 + rng.gauss(0, 0.03))
    for _ in range(20):
        chosen = things.pick(rng, split, untaught=0, shapes=0)
        if scenes.contrast_ok(canvas, cx, cy, size, chosen[0]):
            break
    thing = scenes.put(rng, canvas, cx, cy, size, split, plain=True, chosen=chosen)
    return scenes.Scene(scenes.finish(rng, canvas, 0.6), [thing])


def several(rng, count, split="emoji", repeat=False, shapes=0.12):
    """Things at clear places, all different unless `repeat`."""
    while True:
        side = rng.choice((224, 256, 320, 448))
        canvas = canvas_for(rng, side, side)
        scene = scenes.Scene(canvas)
        spots = scenes.positions(rng, count, "free")
        again = things.pick(rng, split, untaught=0, shapes=shapes) if repeat else None
        for x, y, s in spots:
            size = max(30 * side / 224, s * side)
            for _ in range(20):
                chosen = again if again and rng.random() < 0.6 else things.pick(rng, split, untaught=0, shapes=shapes)
                fresh = repeat or all(t.label != chosen[1] for t in scene.things)
                if fresh and scenes.contrast_ok(canvas, x * side, y * side, size, chosen[0]):
                    break
            else:
                continue
            thing = scenes.put(rng, canvas, x * side, y * side, size, split, plain=True, chosen=(chosen[0].copy(), *chosen[1:]))
            if thing:
                scene.things.append(thing)
        found = questions.facts(scene)
        if len(scene.things) == count and (repeat or all(questions.clear(f) for f in found)):
            scene.image = scenes.finish(rng, canvas, 0.6)
            return scene


def naming(rng, split):
    scene = one_thing(rng, split)
    question = rng.choice(W["what"]["en"])
    return scene.image, "en", question, accepted(scene.things[0].label, "en"), "name"


def captions(rng, language):
    scene = several(rng, rng.choice((2, 3)))
    found = questions.facts(scene)
    known = sorted(found, key=lambda f: f.cx)
    answer = [[accepted(f.label, language), W["places"][questions.place(f)][language]] for f in known]
    return scene.image, language, rng.choice(W["what"][language]), answer, "caption"


def from_kind(kind, repeat=False, shapes=0.12, split="forms"):
    def make(rng, language="en"):
        while True:
            count = rng.randint(1, 5) if kind != "colour" else rng.randint(1, 3)
            scene = several(rng, count, repeat=repeat and rng.random() < 0.8, shapes=shapes)
            dialogue = questions.ask(rng, kind, questions.facts(scene), False, language, split)
            if dialogue and dialogue.answer != W["unknown"][language]:
                return scene.image, language, dialogue.question, [dialogue.answer], "exact"
    return make


def one_line(rng):
    """A line of print of em 14 pixels or more in a held-out face."""
    while True:
        h, w = rng.choice((96, 160, 224)), rng.choice((224, 320, 448, 640))
        canvas = canvas_for(rng, h, w)
        size = int(np.exp(rng.uniform(np.log(14), np.log(48))))
        written = scenes.write(rng, canvas, True, (6, 6, w - 6, h - 6), size)
        if written and len(written.text) > 1:
            return scenes.finish(rng, canvas, 0.6), "en", rng.choice(W["read"]["en"]), [written.text], "text"


def page(rng):
    """A page of print, one or two columns under a title."""
    w, h = rng.choice(((850, 1100), (1000, 800), (1240, 1000), (700, 900)))
    light = rng.random() < 0.85
    ground = rng.uniform(225, 255) if light else rng.uniform(5, 40)
    level = rng.uniform(0, 70) if light else rng.uniform(190, 255)
    sheet = pages.Page(np.full((h, w), ground, np.float32))
    sheet.canvas += np.linspace(0, rng.uniform(-25, 0), w, dtype=np.float32)[None]
    size, margin = rng.randint(16, 24), rng.randint(40, 80)
    family = rng.choice(lines.pool(True)["text"])
    top = margin
    if rng.random() < 0.6:
        title = lines.draw(rng, int(size * rng.uniform(1.5, 2.2)), text=" ".join(pages.words.word(rng, True).capitalize() for _ in range(3)), faces=[[rng.choice(family)]])
        if title is not None and title.mask.shape[1] < w - 2 * margin:
            pages.paste(sheet, title, margin, margin, level)
            top = margin + title.mask.shape[0] + size * 1.5
    columns = rng.choice((1, 1, 2)) if w > 800 else 1
    gap = size * 2.5
    width = (w - 2 * margin - gap * (columns - 1)) / columns
    for c in range(columns):
        y, x0 = top, margin + c * (width + gap)
        while y < h - margin - 3 * size:
            bottom = min(h - margin, y + size * rng.uniform(5, 14))
            y = pages.paragraph(rng, sheet, x0, y, x0 + width, bottom, size, True, level, family, "left", rng.uniform(1.3, 1.6)) + size * 0.9
    image = lines.degrade(rng, np.repeat(sheet.canvas[..., None], 3, 2), 0.5)
    return image, "en", W["read"]["en"][1], ["\n".join(text for text, _ in sheet.lines)], "text"


def nothing(rng):
    side = rng.choice((224, 320, 448))
    canvas = np.ascontiguousarray(scenes.backdrop(rng, side, int(side * rng.choice((1, 1.33))), "eval", photo=True))
    language = rng.choice(questions.LANGUAGES)
    return scenes.finish(rng, canvas, 0.4), language, rng.choice(W["what"][language]), [], "unknown"


def noise(rng):
    side, generator = rng.choice((64, 224, 320)), np.random.default_rng(rng.getrandbits(32))
    kind = rng.randrange(3)
    if kind == 0:
        image = generator.integers(0, 256, (side, side, 3))
    elif kind == 1:
        image = np.clip(128 + 40 * generator.standard_normal((side, side, 1)).repeat(3, 2), 0, 255)
    else:
        image = cv2.resize(generator.integers(0, 256, (side // 8, side // 8, 3)).astype(np.uint8), (side, side), interpolation=cv2.INTER_CUBIC)
    return image.astype(np.uint8), "en", rng.choice(W["what"]["en"]), [], "unknown"


def untaught(rng):
    side = rng.choice((224, 320, 400))
    canvas = canvas_for(rng, side, side)
    scene = scenes.put(rng, canvas, side / 2, side / 2, side * rng.uniform(0.45, 0.85), plain=True, chosen=things.pick(rng, "eval", untaught=1, shapes=0))
    assert scene is not None
    return scenes.finish(rng, canvas, 0.6), "en", rng.choice(W["what"]["en"]), [], "unknown"


def taught(rng):
    image, language, question, _, _ = naming(rng, "emoji")
    return image, language, question, [], "known"


def paraphrase(rng):
    kind = rng.choice(("where", "how_many_of", "how_many", "is_there", "colour", "what_is_at"))
    language = rng.choice(questions.LANGUAGES)
    return from_kind(kind, repeat="many" in kind, shapes=0.6 if kind == "colour" else 0.12, split="eval")(rng, language)


ROWS = {
    "naming, artwork trained on": lambda rng: naming(rng, "emoji"),
    "naming, Twemoji and OpenMoji": lambda rng: naming(rng, "eval-art"),
    "two or three things with their places": lambda rng: captions(rng, "en"),
    "counting": lambda rng: from_kind(rng.choice(("how_many_of", "how_many")), repeat=True)(rng),
    "colour": from_kind("colour", shapes=0.7),
    "yes or no": from_kind("is_there"),
    "place": from_kind("where"),
    "what is at a place": from_kind("what_is_at"),
    "held-out paraphrases, six languages": paraphrase,
    "one line of print": one_line,
    "a page": page,
    "captions, other languages": lambda rng: captions(rng, rng.choice(questions.LANGUAGES[1:])),
    "declines: photographs": nothing,
    "declines: noise": noise,
    "declines: things not taught": untaught,
    "does not decline: things taught": taught,
}


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("out", type=Path)
    options.add_argument("--count", type=int, default=2000)
    options.add_argument("--small", action="store_true", help="pictures of at most 256 pixels, for committing")
    options = options.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with open(options.out / "labels.jsonl", "w", encoding="utf-8") as file:
        for number, (row, make) in enumerate(ROWS.items()):
            rng = random.Random(f"{row} 2026")
            wanted = min(options.count, 100) if row == "a page" else options.count
            if options.small and row == "a page":
                wanted = 3
            done = 0
            while done < wanted:
                image, language, question, answers, score = make(rng)
                if options.small and max(image.shape) > 256 and row not in ("a page", "one line of print"):
                    continue
                name = f"{number:02}-{re.sub('[^a-z]+', '-', row.lower())[:24].strip('-')}-{done:04}.png"
                cv2.imwrite(str(options.out / name), image[..., ::-1])
                file.write(json.dumps({"image": name, "row": row, "lang": language, "question": question, "answers": answers, "score": score}, ensure_ascii=False) + "\n")
                done += 1
            print(f"{row}: {done}", flush=True)


if __name__ == "__main__":
    main()
