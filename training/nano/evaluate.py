"""Scores the reference pipeline on a folder with a labels.jsonl. `python -m nano.evaluate SET [--limit N] [--answers FILE]`.

The rules are those of `tiny-vlm eval`; see evalset.py for what `score` means.
"""

import argparse
import json
import re
from pathlib import Path

import torch
from PIL import Image

from . import export, questions, tokenizer
from .pipeline import Nano
from .stage import RUNS
from .train_reader import edits


def load():
    """nano from the newest checkpoints of its stages."""
    modules = export.networks()
    for stage in ("reader", "lines", "things", "tower", "answer"):
        if (RUNS / f"{stage}.pt").exists():
            for name, state in torch.load(RUNS / f"{stage}.pt")["modules"].items():
                if name in modules:
                    modules[name].load_state_dict(state)
    return Nano(modules, tokenizer.load())


def plain(text):
    return re.sub(r"\s+", " ", text.strip().rstrip(".。").casefold())


def parts(answer):
    """A caption's (name, place) pairs; the place is empty for a thing by itself."""
    found = []
    for part in re.split(r",\s+", answer):
        match = re.fullmatch(r"(.*?)(?: \((.*)\))?", part.strip())
        found.append((plain(match[1]), plain(match[2] or "")))
    return found


def score(label, answer):
    """1 for right and 0 for wrong; for "text" the character error rate."""
    kind, language = label["score"], label["lang"]
    unknown = plain(questions.WORDS["unknown"][language])
    if kind == "text":
        truth = label["answers"][0]
        return edits(answer, truth) / max(1, len(truth))
    if kind == "unknown":
        return float(plain(answer) == unknown)
    if kind == "known":
        return float(plain(answer) != unknown)
    if kind == "caption":
        said = parts(answer)
        left = list(said)
        for names, place in label["answers"]:
            match = [s for s in left if s[0] in map(plain, names) and s[1] == plain(place)]
            if not match:
                return 0.0
            left.remove(match[0])
        return float(not left)
    return float(plain(answer) in map(plain, label["answers"]))


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("set", type=Path)
    options.add_argument("--limit", type=int, default=10**9, help="pictures a row")
    options.add_argument("--answers", type=Path, help="where to write {image, answer} lines")
    options = options.parse_args()
    nano, rows, answers = load(), {}, []
    for line in (options.set / "labels.jsonl").read_text(encoding="utf-8").splitlines():
        label = json.loads(line)
        row = rows.setdefault(label["row"], [])
        if len(row) < options.limit:
            answer = nano.ask(Image.open(options.set / label["image"]).convert("RGB"), label["question"])
            weight = len(label["answers"][0]) if label["score"] == "text" else 1
            row.append((score(label, answer), weight))
            answers.append({"image": label["image"], "answer": answer})
    for row, scores in rows.items():
        print(f"{row:45} {100 * sum(s * w for s, w in scores) / max(1, sum(w for _, w in scores)):6.1f} %  of {len(scores)}")
    if options.answers:
        options.answers.write_text("".join(json.dumps(a, ensure_ascii=False) + "\n" for a in answers), encoding="utf-8")


if __name__ == "__main__":
    main()
