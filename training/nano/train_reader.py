"""Stage 1: the reader learns strips of print, by CTC. `python -m nano.train_reader --minutes 60`."""

import random

import numpy as np
import torch
import torch.nn.functional as F

from . import lines, pages, photos
from .model import STRIP, Reader
from .stage import RUNS, Stage
from .words import CHARACTERS

INDEX = {c: i + 1 for i, c in enumerate(CHARACTERS)}


def normalise(strip):
    """Grey levels to zero mean and, nearly, unit deviation."""
    strip = strip.astype(np.float32)
    return (strip - strip.mean()) / (strip.std() + 8.0)


class Strips(torch.utils.data.IterableDataset):
    """Batches of strips of nearly one width."""

    def __init__(self, seed, pixels=32 * 260, longest=704):
        self.seed, self.pixels, self.longest = seed, pixels, longest

    def __iter__(self):
        info = torch.utils.data.get_worker_info()
        rng = random.Random(self.seed * 1000 + (info.id if info else 0))
        greys = photos.greys("train")
        while True:
            shelf = []
            while len(shelf) < 512:
                if rng.random() < 0.2:  # as they stand in pictures: on labels, on patterns, in colours
                    picture, found = pages.signs(rng, 288)
                    made = [(lines.cut(picture, lines.window(rng, band), STRIP), text) for text, band in found]
                else:
                    made = [lines.strip(rng, STRIP, photos=greys)]
                for strip, text in made:
                    if strip.shape[1] <= self.longest and len(text) <= strip.shape[1] // 4 - 2:
                        shelf.append((normalise(strip), text))
            shelf.sort(key=lambda s: s[0].shape[1])
            batches, at = [], 0
            while at < len(shelf):
                count = 8
                while at + count < len(shelf) and (count + 1) * shelf[min(at + count, len(shelf) - 1)][0].shape[1] <= self.pixels:
                    count += 1
                batches.append(shelf[at:at + count])
                at += count
            rng.shuffle(batches)
            for batch in batches:
                yield collate(batch)


def collate(batch):
    width = max(s.shape[1] for s, _ in batch)
    images = np.stack([np.pad(s, ((0, 0), (0, width - s.shape[1])), mode="edge") for s, _ in batch])[:, None]
    targets = torch.tensor([INDEX[c] for _, text in batch for c in text])
    return torch.from_numpy(images), targets, torch.tensor([len(text) for _, text in batch])


def greedy(logits):
    """The text of one strip's logits [n, characters + 1]."""
    ids = logits.argmax(-1).tolist()
    return "".join(CHARACTERS[i - 1] for k, i in enumerate(ids) if i and (k == 0 or ids[k - 1] != i))


def edits(a, b):
    """Levenshtein distance."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
    return row[-1]


@torch.no_grad()
def error_rate(reader, held_out, count=400, clean=False):
    """Character error rate over made-up strips, of held-out faces and words or of trained ones."""
    reader.eval()
    rng = random.Random(99)
    wrong = total = 0
    for _ in range(count):
        strip, text = lines.strip(rng, STRIP, held_out=held_out, clean=clean)
        out = reader(torch.from_numpy(normalise(strip))[None, None])
        wrong += edits(greedy(out[0]), text)
        total += len(text)
    reader.train()
    return wrong / total


def main():
    reader = Reader(len(CHARACTERS))
    stage = Stage("reader", {"reader": reader})
    batches = iter(torch.utils.data.DataLoader(Strips(stage.step + 1), batch_size=None, num_workers=1, prefetch_factor=8))
    while stage.running():
        images, targets, lengths = next(batches)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = reader(images.to(memory_format=torch.channels_last))
        logp = F.log_softmax(logits.float(), -1).transpose(0, 1)
        loss = F.ctc_loss(logp, targets, torch.full((len(lengths),), logp.shape[0]), lengths, zero_infinity=True)
        stage.update(loss, len(lengths), loss=loss)
        if stage.step % 1000 == 0:
            print(f"step {stage.step}: error rate, trained faces {error_rate(reader, False, 200):.4f}, held out {error_rate(reader, True, 200):.4f}", flush=True)
    print(f"end: trained faces {error_rate(reader, False):.4f}, held out {error_rate(reader, True):.4f}, held out and clean {error_rate(reader, True, clean=True):.4f}")
    torch.save({"reader": reader.state_dict()}, RUNS / "reader.done.pt")


if __name__ == "__main__":
    main()
