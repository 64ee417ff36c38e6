"""Stage 2: the tower learns what a glimpse shows. `python -m nano.train_tower --minutes 60`.

The heads for class and colour exist only here; the decoder learns from the glimpse vector itself.
"""

import random

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

from . import scenes, things
from .model import GLIMPSE, Tower
from .stage import RUNS, Stage, replayed


class Naming(nn.Module):
    """Class and colour of a glimpse, while training."""

    def __init__(self):
        super().__init__()
        self.label = nn.Linear(Tower.DIM, things.CLASSES)
        self.colour = nn.Linear(Tower.DIM, len(things.COLOURS))

    def forward(self, x):
        return self.label(x), self.colour(x)


class Glimpses(torch.utils.data.IterableDataset):
    """Batches of glimpses, classes and colours."""

    def __init__(self, seed, batch=64):
        self.seed, self.batch = seed, batch

    def __iter__(self):
        info = torch.utils.data.get_worker_info()
        rng = random.Random(self.seed * 1000 + 17 + (info.id if info else 0))
        for made in replayed(rng, lambda: scenes.crop(rng, GLIMPSE), self.batch, 24_000):
            images, labels, colours = zip(*made)
            yield torch.from_numpy(np.stack(images)), torch.tensor(labels), torch.tensor(colours)


def as_input(images):
    return (images.permute(0, 3, 1, 2).float() / 255).contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def accuracy(tower, naming, split, count=500):
    """The share of glimpses of drawings as they are that the head names rightly."""
    tower.eval()
    rng, right, seen = random.Random(5), 0, 0
    while seen < count:
        images, labels = [], []
        for _ in range(50):
            image, label, _ = scenes.crop(rng, GLIMPSE, split, plain=True)
            images.append(image), labels.append(label)
        out = naming(tower.glimpse(as_input(torch.from_numpy(np.stack(images)))))[0].argmax(1)
        right += (out == torch.tensor(labels)).sum().item()
        seen += 50
    tower.train()
    return right / seen


def main():
    tower, naming = Tower().to(memory_format=torch.channels_last), Naming()
    stage = Stage("tower", {"tower": tower, "naming": naming}, decay=0.03)
    batches = iter(torch.utils.data.DataLoader(Glimpses(stage.step + 1), batch_size=None, num_workers=1, prefetch_factor=8))
    while stage.running():
        images, labels, colours = next(batches)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            vector = tower.glimpse(as_input(images))
        label, colour = naming(vector.float())
        loss = F.cross_entropy(label, labels, label_smoothing=0.05)
        coloured = colours >= 0
        if coloured.any():
            loss = loss + 2 * F.cross_entropy(colour[coloured], colours[coloured]) * coloured.float().mean()
        stage.update(loss, len(images), loss=loss, right=(label.argmax(1) == labels).float().mean())
        if stage.step % 1500 == 0:
            print(f"step {stage.step}: named, trained art {accuracy(tower, naming, 'emoji'):.4f}, other art {accuracy(tower, naming, 'eval-art'):.4f}", flush=True)
    print(f"end: named, trained art {accuracy(tower, naming, 'emoji', 2000):.4f}, other art {accuracy(tower, naming, 'eval-art', 2000):.4f}")
    torch.save({k: m.state_dict() for k, m in stage.modules.items()}, RUNS / "tower.done.pt")


if __name__ == "__main__":
    main()
