"""A sheet of wrong answers, for the model card. `python -m nano.mistakes SET ANSWERS OUT.png`.

ANSWERS is what `tiny-vlm eval SET --answers ANSWERS` writes.
"""

import json
import sys
from pathlib import Path

from PIL import Image, ImageDraw

from . import fonts

ROWS = ("naming, artwork trained on", "naming, Twemoji and OpenMoji", "two or three things with their places", "counting", "place",
        "declines: photographs", "declines: things not taught", "one line of print")
SIDE, TEXT = 200, 44


def expected(label):
    if label["score"] == "unknown":
        return "(declines)"
    if label["score"] == "caption":
        return ", ".join(f"{names[0]} ({place})" for names, place in label["answers"])
    return label["answers"][0] if label["answers"] else "(a name)"


def main():
    folder, answers, out = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    labels = [json.loads(line) for line in (folder / "labels.jsonl").read_text(encoding="utf-8").splitlines()]
    said = [json.loads(line) for line in answers.read_text(encoding="utf-8").splitlines()]
    sheet = Image.new("RGB", (4 * SIDE, 4 * (SIDE + TEXT)), "white")
    pen, at = ImageDraw.Draw(sheet), 0
    face = next(f for f in fonts.faces(False) if f["family"] == "DejaVu Sans" and "Bold" not in f["path"])
    font = fonts.load(face["path"], face["index"], 11)
    for row in ROWS:
        wrong = [(l, s) for l, s in zip(labels, said) if l["row"] == row and (s["score"] > 0.2 if l["score"] == "text" else s["score"] == 0)]
        for label, answer in wrong[:2]:
            image = Image.open(folder / label["image"]).convert("RGB")
            image.thumbnail((SIDE - 8, SIDE - 8))
            x, y = at % 4 * SIDE, at // 4 * (SIDE + TEXT)
            sheet.paste(image, (x + 4, y + 4))
            for line, (text, colour) in enumerate(((label["question"], "grey"), (f"says: {answer['answer']}", "black"), (f"is: {expected(label)}", "green"))):
                pen.text((x + 4, y + SIDE - 2 + 14 * line), text.replace("\n", " ")[:36], fill=colour, font=font)
            at += 1
    sheet.crop((0, 0, 4 * SIDE, (at + 3) // 4 * (SIDE + TEXT))).save(out)


if __name__ == "__main__":
    main()
