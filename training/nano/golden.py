"""What the runtime must compute, stage by stage: `python -m nano.golden` writes fixtures/nano.

The weights of these fixtures are made up from their names, by a rule that the runtime's tests know too, so that no
checkpoint lies beside them. `python -m nano.golden --trained` writes fixtures/nano/trained.* from the master in
training/export in the same form, and with `--set FOLDER` the reference's answers to a committed set, FOLDER/reference.jsonl.

    images/*.png        three drawn pictures
    tokenizer.json      bytes and a few merges
    NAME.json           config, the tensors and how they are made, things, lines, prompts and answers
    NAME.safetensors    what each stage computes; of large outputs some elements only, `step` apart
    geometry.json       boxes, components, lines, overlaps and reading orders of made-up cases
"""

import argparse
import json
import math
import random
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from . import export, layout, model, pipeline
from .words import CHARACTERS

FIXTURES = Path(__file__).parent.parent.parent / "fixtures/nano"
MOST = 600  # elements kept of one output
GAINS = {"reader.out": 5.0, "decoder.embed": 0.7, "decoder": 2.0}  # so that what is made up reads and answers variously
SALT = "6."  # and finds some lines
QUESTIONS = ("What is in the picture?", "Was steht auf dem Schild?", "有几个？")


def draw_images(folder):
    """A sign, a narrow picture with odd sides, and a page in two columns."""
    folder.mkdir(parents=True, exist_ok=True)
    font = lambda size: ImageFont.load_default(size)
    sign = Image.linear_gradient("L").resize((320, 240)).convert("RGB")
    pen = ImageDraw.Draw(sign)
    pen.ellipse((20, 130, 110, 220), "red", "black", 3)
    pen.rectangle((230, 150, 300, 220), "royalblue")
    pen.polygon([(170, 130), (210, 215), (130, 215)], "gold")
    pen.rectangle((60, 20, 260, 100), "white", "navy", 3)
    pen.text((78, 26), "OPEN 24/7", "navy", font(34))
    pen.text((98, 68), "Café — 3,50 €", "black", font(20))
    turned = Image.new("RGB", (130, 30), (90, 90, 90))
    ImageDraw.Draw(turned).text((4, 2), "this way up", "white", font(21))
    sign.paste(turned.rotate(12, Image.BICUBIC, True, fillcolor=(90, 90, 90)), (4, 100))
    sign.save(folder / "sign.png")

    narrow = Image.new("RGB", (67, 131), "seagreen")
    pen = ImageDraw.Draw(narrow)
    pen.ellipse((10, 12, 50, 52), "orange")
    pen.rectangle((20, 70, 60, 125), "purple")
    pen.text((6, 54), "EXIT", "white", font(13))
    narrow.save(folder / "narrow.png")

    page = Image.new("RGB", (500, 360), "ivory")
    pen = ImageDraw.Draw(page)
    pen.text((20, 10), "Two columns of print", "black", font(30))
    for column, words in enumerate(("The quick brown fox jumps over the lazy dog.", "Zwölf Boxkämpfer jagen Viktor quer über den Sylter Deich.")):
        for row, word in enumerate(words.split()):
            pen.text((20 + 250 * column, 60 + 32 * row), f"{word} {word}", "black", font(19))
    page.save(folder / "page.png")


def small_tokenizer(path):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=list(export.SPECIAL.values()), min_frequency=1, show_progress=False,
                                  initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.train_from_iterator(QUESTIONS * 3, trainer)
    tokenizer.save(str(path), pretty=False)
    return tokenizer


def standardise(found, name, channels, outputs):
    """Rescales channels of a last layer so that over `outputs` [channels, cells] each has a given mean and deviation."""
    for channel, (mean, deviation) in enumerate(channels):
        factor = np.float32(deviation / outputs[channel].std())
        found[f"{name}.weight"][channel] *= factor
        bias = found[f"{name}.bias"]
        bias[channel] = mean - (outputs[channel].mean() - bias[channel]) * factor


@torch.no_grad()
def random_model(images):
    """Made-up weights, and how each is made: from its name with a gain, or by its values."""
    with_shapes, vocabulary = export.networks(300), 300
    made, recipe = {}, {}
    for name, t in export.tensors(with_shapes).items():
        gain = GAINS.get(name.rsplit(".", 1)[0], GAINS.get(name.split(".")[0], 1.5 if t.ndim == 4 else 1.0))
        made[name], recipe[name] = export.made_up(name, t.shape, gain, SALT), {"shape": list(t.shape), "gain": gain}
    modules = export.restore(made, vocabulary)
    seen = [modules["things"](pipeline.as_tensor(i.resize((model.GLANCE, model.GLANCE), Image.BILINEAR)))[0].flatten(1) for i in images]
    standardise(made, "things.out", [(-2.2, 1.2), (1.6, 0.4), (1.6, 0.4), (0, 0.3), (0, 0.3)], torch.cat(seen, 1).numpy())
    seen = []
    for image in images:
        grey = image.convert("L").resize(pipeline.level_size(*image.size, 288), Image.BILINEAR)
        seen.append(modules["lines"](torch.from_numpy(np.asarray(grey, np.float32) / 255)[None, None])[0].flatten(1))
    standardise(made, "lines.out", [(-2.8, 2.6), (0.2, 0.5)], torch.cat(seen, 1).numpy())
    for name in ("things.out", "lines.out"):
        for key in ("weight", "bias"):
            t = made[f"{name}.{key}"]
            recipe[f"{name}.{key}"] = {"shape": list(t.shape), "values": [float(v) for v in t.ravel()]}
    return made, recipe


class Stages:
    """Outputs of stages, thinned out."""

    def __init__(self):
        self.kept, self.about = {}, {}

    def add(self, name, value, channels_first=False):
        """Keeps an array as the runtime lays it out: channels last, without the batch."""
        value = np.asarray(value, np.float32)
        if channels_first:
            value = np.moveaxis(value, 0, -1)
        step = max(1, math.ceil(value.size / MOST))
        if step > 1 and step % 2 == 0:
            step += 1  # odd, so that all channels are met
        self.kept[name] = np.ascontiguousarray(value.ravel()[::step])
        self.about[name] = {"shape": list(value.shape), "step": step, "largest": float(np.abs(value).max()) if value.size else 0.0}


@torch.no_grad()
def trace(nano, name, image, stages, limit):
    """One picture through all stages; what is discrete is returned."""
    width, height = image.size
    seen = nano.look(image)
    t = seen.trace
    stages.add(f"{name}.things", t["things"], True)
    stages.add(f"{name}.glimpses", t["glimpses"])
    stages.add(f"{name}.positions", t["positions"])
    stages.add(f"{name}.memory", seen.memory[0])
    grey, found, levels = image.convert("L"), [], []
    for level in pipeline.levels(width, height):
        size = pipeline.level_size(width, height, level)
        small = np.asarray(grey.resize(size, Image.BILINEAR))
        out = nano.lines(torch.from_numpy(small.astype(np.float32) / 255)[None, None])[0]
        stages.add(f"{name}.lines.{level}", out, True)
        here = pipeline.find_lines(out, width, height)
        levels.append({"level": level, "size": list(size), "bytes": int(small.astype(np.int64).sum()), "lines": as_lines(here)})
        found += here
    pyramid, strips = [np.asarray(grey)], []
    for i, line in enumerate(pipeline.surest_lines(found)):
        strip = pipeline.cut_strip(pyramid, line.quad)
        logits = nano.reader(torch.from_numpy(pipeline.normalise(strip))[None, None])[0]
        text, confidence = pipeline.transcribe(logits)
        strips.append({"quad": line.quad.tolist(), "score": line.score, "width": strip.shape[1], "text": text, "confidence": confidence})
        if i < 6:
            stages.add(f"{name}.strip.{i}", strip)
            stages.add(f"{name}.logits.{i}", logits)
    answers = []
    for i, question in enumerate(QUESTIONS):
        tokenizer = nano.tokenizer
        ids = [tokenizer.token_to_id("<q>"), *tokenizer.encode(question).ids, tokenizer.token_to_id("<a>")]
        mask = torch.ones(1, seen.memory.shape[1], dtype=torch.bool)
        stages.add(f"{name}.answer.{i}", nano.decoder(torch.tensor([ids]), seen.memory, mask)[0])
        answers.append({"question": question, "ids": ids, "answer": nano.ask(image, question, limit, seen)})
    lines = [{"quad": l.quad.tolist(), "text": l.text, "confidence": l.confidence} for l in seen.lines]
    things = [{"score": x.score, "box": list(x.box)} for x in seen.things]
    return {"things": things, "levels": levels, "strips": strips, "lines": lines, "answers": answers}


def as_lines(found):
    return [{"quad": l.quad.tolist(), "score": l.score} for l in found]


def turned_quad(rng, scale):
    """A rectangle turned by some angle, corners as a line's."""
    cx, cy, angle = rng.uniform(0, scale), rng.uniform(0, scale), rng.choice((0.0, rng.gauss(0, 0.2), rng.uniform(-3.2, 3.2)))
    w, h = rng.uniform(0.05, 0.6) * scale, rng.uniform(0.02, 0.1) * scale
    ux, uy = math.cos(angle), math.sin(angle)
    return np.array([(cx + a * w * ux - b * h * uy, cy + a * w * uy + b * h * ux) for a, b in ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5))])


def page_of_quads(rng):
    """Lines of some columns, a little askew, in no order."""
    found, angle = [], rng.choice((0.0, 0.0, rng.gauss(0, 0.02)))
    for column in range(rng.randint(1, 3)):
        for row in range(rng.randint(1, 7)):
            if rng.random() < 0.15:
                continue
            x, y, w, h = 20 + 220 * column + rng.uniform(0, 8), 30 + rng.choice((26, 30)) * row + rng.uniform(0, 6), rng.uniform(30, 190), rng.uniform(18, 30)
            ux, uy = math.cos(angle), math.sin(angle)
            found.append(np.array([(x + a * w * ux - b * h * uy, y + a * w * uy + b * h * ux) for a, b in ((0, 0), (1, 0), (1, 1), (0, 1))]))
    rng.shuffle(found)
    return found


def geometry():
    """Made-up cases for every rule between the networks."""
    rng, generator = random.Random(7), np.random.default_rng(7)
    cases = {"overlap": [], "order": [], "find": [], "peaks": [], "glimpse": [], "level": [], "transcribe": []}
    for _ in range(60):
        a, b = turned_quad(rng, 100), turned_quad(rng, 100)
        if rng.random() < 0.4:
            b = a + rng.uniform(-6, 6)
        cases["overlap"].append({"a": a.tolist(), "b": b.tolist(), "share": layout.overlap(a, b)})
    for _ in range(24):
        quads = page_of_quads(rng) if rng.random() < 0.8 else [turned_quad(rng, 400) for _ in range(rng.randint(0, 9))]
        cases["order"].append({"quads": [q.tolist() for q in quads], "order": layout.reading_order(quads)})
    for _ in range(6):
        rows, columns = rng.randint(5, 28), rng.randint(5, 36)
        logit, y, x = np.full((rows, columns), -3.0), *np.mgrid[0:rows, 0:columns]
        for _ in range(rng.randint(1, 5)):
            cx, cy, angle = rng.uniform(0, columns), rng.uniform(0, rows), rng.choice((0.0, rng.gauss(0, 0.3), 1.2))
            u, v = (x - cx) * math.cos(angle) + (y - cy) * math.sin(angle), (y - cy) * math.cos(angle) - (x - cx) * math.sin(angle)
            logit = np.maximum(logit, 4 - np.maximum(np.abs(u) / rng.uniform(1, 9), np.abs(v) / rng.uniform(0.3, 1.2)) * 4)
        out = np.stack([logit + generator.normal(0, 0.4, logit.shape), generator.normal(rng.uniform(-1, 1), 0.3, logit.shape)]).astype(np.float32)
        size = rng.randint(20, 900), rng.randint(20, 900)
        found = pipeline.find_lines(torch.from_numpy(out), *size)
        cases["find"].append({"size": size, "shape": [rows, columns], "out": [round(float(v), 9) for v in np.moveaxis(out, 0, -1).ravel()],
                              "lines": as_lines(found), "kept": pipeline.merge_levels([l.quad for l in found], [l.score for l in found])})
    for _ in range(4):
        size = rng.randint(3, 12)
        out = np.concatenate([generator.normal(-1.5, 1.5, (1, size, size)), generator.normal(0.8, 0.6, (2, size, size)), generator.normal(0, 0.4, (2, size, size))]).astype(np.float32)
        out[0] = np.round(out[0] * 2) / 2  # ties
        found = pipeline.peaks(torch.from_numpy(out))
        cases["peaks"].append({"size": size, "out": [float(v) for v in np.moveaxis(out, 0, -1).ravel()], "things": [{"score": t.score, "box": t.box} for t in found]})
    for _ in range(40):
        size = rng.randint(1, 700), rng.randint(1, 700)
        x, y = rng.uniform(-0.2, 1.1), rng.uniform(-0.2, 1.1)
        box = (x, y, x + rng.uniform(0, 0.9), y + rng.uniform(0, 0.9))
        cases["glimpse"].append({"size": size, "box": box, "pixels": pipeline.glimpse_box(box, *size)})
        cases["level"].append({"size": size, "level": (level := rng.choice(pipeline.LEVELS)), "sides": pipeline.level_size(*size, level)})
    for _ in range(5):
        logits = np.zeros((12, len(CHARACTERS) + 1), np.float32)
        ids = [rng.choice((0, 0, 1, rng.randint(1, len(CHARACTERS)))) for _ in range(6) for _ in range(2)]
        for k, i in enumerate(ids):
            logits[k, i] = rng.uniform(3, 9)
        text, confidence = pipeline.transcribe(torch.from_numpy(logits))
        cases["transcribe"].append({"ids": ids, "peaks": [float(logits[k, i]) for k, i in enumerate(ids)], "text": text, "confidence": confidence})
    return cases


def answer_set(nano, folder):
    """The reference's answer to every question of a set, a line each."""
    with open(folder / "labels.jsonl", encoding="utf-8") as labels, open(folder / "reference.jsonl", "w", encoding="utf-8") as out:
        for label in map(json.loads, labels):
            answer = nano.ask(Image.open(folder / label["image"]).convert("RGB"), label["question"])
            print(json.dumps({"image": label["image"], "question": label["question"], "answer": answer}, ensure_ascii=False), file=out)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--trained", action="store_true", help="the master in training/export instead of made-up weights")
    options.add_argument("--set", type=Path, help="a folder with a labels.jsonl, to be answered by the master")
    options = options.parse_args()
    torch.set_num_threads(1)
    if not options.trained:
        draw_images(FIXTURES / "images")
        small_tokenizer(FIXTURES / "tokenizer.json")
        (FIXTURES / "geometry.json").write_text(json.dumps(geometry()) + "\n", encoding="utf-8")
    images = {path.stem: Image.open(path).convert("RGB") for path in sorted((FIXTURES / "images").glob("*.png"))}
    stages, extra, limit = Stages(), {}, 24
    if options.trained:
        name, tokenizer = "trained", export.MASTER / "tokenizer.json"
        found = export.load(export.MASTER)
        limit = 120
    else:
        name, tokenizer = "random", FIXTURES / "tokenizer.json"
        found, extra["tensors"] = random_model(images.values())
    nano = pipeline.Nano(export.restore(found, found["decoder.embed.weight"].shape[0]), Tokenizer.from_file(str(tokenizer)))
    cases = {key: trace(nano, key, image, stages, limit) for key, image in images.items()}
    about = {"config": export.config(found, export.special_tokens(tokenizer)), "limit": limit, "salt": SALT, **extra, "stages": stages.about, "images": cases}
    (FIXTURES / f"{name}.json").write_text(json.dumps(about, ensure_ascii=False) + "\n", encoding="utf-8")
    save_file(stages.kept, FIXTURES / f"{name}.safetensors")
    (FIXTURES / f"{name}.safetensors").chmod(0o644)
    for key, case in cases.items():
        print(f"{key}: {len(case['things'])} things, {len(case['strips'])} strips, {len(case['lines'])} legible")
        print("  ", [len(level["lines"]) for level in case["levels"]], [a["answer"][:40] for a in case["answers"]], [l["text"] for l in case["lines"]][:5])
    if options.set:
        answer_set(nano, options.set)


if __name__ == "__main__":
    main()
