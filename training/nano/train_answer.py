"""Stage 4: fusion and decoder learn to answer. `python -m nano.train_answer --minutes 20`.

The tower is done by then, so its glimpse vectors of many single things are kept in a bank, and scenes are
composed of vectors: as many as one likes, at no cost in pixels.
"""

import random
import time

import numpy as np
import torch
import torch.nn.functional as F

from . import questions, scenes, things, tokenizer
from .model import GLIMPSE, MAX_THINGS, Decoder, Fusion, RmsNorm, Tower, position_features
from .stage import RUNS, Stage
from .train_tower import as_input

BANK = RUNS / "bank.pt"
BANK_SIZE = 60_000


def trained_tower():
    """The tower, and the heads it was trained with."""
    state = torch.load(RUNS / "tower.pt")["modules"]
    net = Tower().to(memory_format=torch.channels_last)
    net.load_state_dict(state["tower"])
    return net.eval(), state["naming"]


@torch.no_grad()
def build_bank(count, seed=0, split="train", batch=64):
    """Glimpse vectors of random things, with classes and colours; nothing at all counts as untaught."""
    (net, _), rng = trained_tower(), random.Random(seed)
    vectors, labels, colours = [], [], []
    while sum(map(len, vectors)) < count:
        made = []
        for _ in range(batch):
            made.append((scenes.nothing(rng, GLIMPSE, split), things.UNTAUGHT, -1) if rng.random() < 0.04 else scenes.crop(rng, GLIMPSE, split, plain=rng.random() < 0.5))
        vectors.append(net.glimpse(as_input(torch.from_numpy(np.stack([m[0] for m in made])))))
        labels += [m[1] for m in made]
        colours += [m[2] for m in made]
    return {"vectors": torch.cat(vectors), "labels": torch.tensor(labels), "colours": torch.tensor(colours)}


class Bank:
    def __init__(self, data):
        self.vectors, self.labels, self.colours = data["vectors"].numpy(), data["labels"].tolist(), data["colours"].tolist()
        self.by_label = {}
        for i, label in enumerate(self.labels):
            self.by_label.setdefault(label, []).append(i)
        self.noise = 0.12 * self.vectors.std(0)

    def pick(self, rng):
        roll = rng.random()
        if roll < 0.14:
            label = len(things.CONCEPTS) + rng.randrange(len(things.SHAPES))
        elif roll < 0.21:
            label = things.UNTAUGHT
        else:
            label = rng.randrange(len(things.CONCEPTS))
        return self.another(rng, label) if label in self.by_label else self.pick(rng)

    def another(self, rng, label):
        return rng.choice(self.by_label[label])

    def doubtful(self, rng):
        """A vector between those of two things, as of a thing that looks like either and is neither."""
        a, b = (self.vectors[self.another(rng, label)] for label in rng.sample(range(len(things.CONCEPTS)), 2))
        share = rng.uniform(0.35, 0.65)
        mixed = share * a + (1 - share) * b
        return mixed * (share * np.linalg.norm(a) + (1 - share) * np.linalg.norm(b)) / np.linalg.norm(mixed)


def compose(rng, bank):
    """A made-up scene: facts, vectors and boxes, left to right, and whether there is print."""
    count = rng.choices(range(10), (7, 32, 26, 18, 8, 4, 2, 1, 1, 1))[0]
    spots = scenes.positions(rng, count, "free")
    repeated = bank.pick(rng) if rng.random() < 0.4 else None
    chosen = []
    for x, y, side in spots:
        i = bank.another(rng, bank.labels[repeated]) if repeated is not None and rng.random() < 0.7 else bank.pick(rng)
        w, h = side * rng.uniform(0.5, 1), side * rng.uniform(0.5, 1)
        if rng.random() < 0.5:
            w = h = side
        chosen.append((i, x + rng.gauss(0, 0.01), y + rng.gauss(0, 0.01), w, h))
    chosen.sort(key=lambda c: (c[1], c[2]))
    found = [questions.Fact(bank.labels[i], bank.colours[i], x, y) for i, x, y, _, _ in chosen]
    generator = np.random.default_rng(rng.getrandbits(32))
    vectors = np.stack([bank.vectors[c[0]] for c in chosen]) if chosen else np.zeros((0, Tower.DIM), np.float32)
    for row, fact in enumerate(found):
        # The tower was taught every drawing of untaught things there is, and is surer of them than of others'.
        if fact.label == things.UNTAUGHT and rng.random() < 0.35:
            vectors[row] = bank.doubtful(rng)
    vectors = vectors + generator.standard_normal(vectors.shape, dtype=np.float32) * bank.noise * rng.choice((0, 1, 1, 2))
    return found, vectors, [c[1:] for c in chosen], rng.random() < 0.25


class Dialogues(torch.utils.data.IterableDataset):
    """Batches as `collate` makes them."""

    def __init__(self, seed, batch=64):
        self.seed, self.batch = seed, batch

    def __iter__(self):
        info = torch.utils.data.get_worker_info()
        rng = random.Random(self.seed * 1000 + 41 + (info.id if info else 0))
        torch.set_num_threads(1)
        bank, t = Bank(torch.load(BANK)), tokenizer.load()
        q, a, end = (t.token_to_id(s) for s in ("<q>", "<a>", "<end>"))
        while True:
            rows = []
            for _ in range(self.batch * 8):
                found, vectors, boxes, has_print = compose(rng, bank)
                dialogue = questions.any_question(rng, found, has_print)
                head, tail = [q, *t.encode(dialogue.question, add_special_tokens=False).ids, a], [*t.encode(dialogue.answer).ids, end]
                rows.append((head, tail, vectors, boxes, has_print, dialogue.asked, dialogue.rests_on))
            rows.sort(key=lambda r: len(r[0]) + len(r[1]))
            batches = [rows[i:i + self.batch] for i in range(0, len(rows), self.batch)]
            rng.shuffle(batches)
            for batch in batches:
                yield collate(batch)


def collate(batch):
    longest = max(len(head) + len(tail) for head, tail, *_ in batch)
    most = max(1, max(len(vectors) for _, _, vectors, *_ in batch))
    made = {"ids": torch.zeros(len(batch), longest, dtype=torch.long), "target": torch.full((len(batch), longest), -100),
            "ends": torch.tensor([len(head) - 1 for head, *_ in batch]), "vectors": torch.zeros(len(batch), most, Tower.DIM),
            "mask": torch.zeros(len(batch), most + 1, dtype=torch.bool), "print": torch.tensor([int(row[4]) for row in batch]),
            "asked": torch.full((len(batch),), -100), "gaze": torch.zeros(len(batch), most + 1)}
    places = torch.zeros(len(batch), most, 4)
    for i, (head, tail, vectors, boxes, _, asked, rests_on) in enumerate(batch):
        made["ids"][i, :len(head) + len(tail)] = torch.tensor(head + tail)
        made["target"][i, len(head) - 1:len(head) + len(tail) - 1] = torch.tensor(tail)
        if len(vectors):
            made["vectors"][i, :len(vectors)], places[i, :len(boxes)] = torch.from_numpy(vectors), torch.tensor(boxes)
        made["mask"][i, :len(vectors) + 1] = True
        if asked is not None:
            made["asked"][i] = asked
        if rests_on is not None:
            # As much at the page as at each thing that counts: what is left for the page tells how many there are.
            made["gaze"][i, :len(vectors) + 1] = torch.tensor([1.0, *rests_on]) / (1 + sum(rests_on))
    made["features"] = position_features(*places.unbind(-1))
    return made


class Asking(torch.nn.Module):
    """The class a question asks about, while training: cross-entropy alone finds no use for the name in a question."""

    def __init__(self):
        super().__init__()
        self.norm = RmsNorm(Tower.DIM)
        self.label = torch.nn.Linear(Tower.DIM, things.CLASSES)

    def forward(self, state):
        return self.label(self.norm(state))


GAZING = 3  # heads that are taught where to look


def attention_losses(asking, state, gaze, batch):
    """How far the state is from knowing which class is asked for, and the first heads from looking at what counts."""
    # A batch of captions asks about no class.
    named = F.cross_entropy(asking(state.float()), batch["asked"], ignore_index=-100, reduction="sum") / (batch["asked"] >= 0).sum().clamp(min=1)
    wanted = batch["gaze"][:, None]
    apart = (wanted * (wanted.clamp_min(1e-9).log() - gaze[:, :GAZING])).sum((1, 2)) / GAZING
    return named, apart.mean()


def main():
    fusion, decoder, asking = Fusion(things.CLASSES, len(things.COLOURS)), Decoder(tokenizer.SIZE), Asking()
    stage = Stage("answer", {"fusion": fusion, "decoder": decoder, "asking": asking}, rate=3e-3, decay=0.02)
    heads = trained_tower()[1]
    for name in ("label", "colour"):
        getattr(fusion, name).load_state_dict({key: heads[f"{name}.{key}"] for key in ("weight", "bias")})
    done = RUNS / "tower.done.pt"
    if not BANK.exists() or (done.exists() and done.stat().st_mtime > BANK.stat().st_mtime):
        print("building the bank", flush=True)
        began = time.time()
        torch.save(build_bank(BANK_SIZE), BANK)
        stage.start += time.time() - began
    batches = iter(torch.utils.data.DataLoader(Dialogues(stage.step + 1), batch_size=None, num_workers=1, prefetch_factor=8))
    while stage.running():
        batch = next(batches)
        target = batch["target"]
        at = target >= 0
        with torch.autocast("cpu", dtype=torch.bfloat16):
            memory = fusion(batch["vectors"], batch["features"], batch["print"])
            logits, state, gaze = decoder.watched(batch["ids"], memory, batch["mask"], at, batch["ends"])
        # An answer counts by the square root of its length; by its length, captions would be nearly all that is learned.
        weight = at.sum(1, keepdim=True).float().pow(-0.5).expand_as(target)[at]
        loss = (F.cross_entropy(logits.float(), target[at], label_smoothing=0.02, reduction="none") * weight).sum() / weight.sum()
        named, apart = attention_losses(asking, state, gaze, batch)
        right = (logits.argmax(-1) == target[at]).float().mean()
        stage.update(loss + 0.3 * named + 0.3 * apart, len(target), loss=loss, right=right, named=named, apart=apart)
    torch.save({k: m.state_dict() for k, m in stage.modules.items()}, RUNS / "answer.done.pt")


if __name__ == "__main__":
    main()
