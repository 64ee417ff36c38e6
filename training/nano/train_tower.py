"""Stage 2: the tower learns to name a glimpse and to find things at a glance.

`python -m nano.train_tower --minutes 60`. Heads for class and colour exist only here; the decoder learns
from the glimpse vector itself. Towards the end batch norm runs on its gathered statistics, as it will when
folded, so that glances and glimpses share one set.
"""

import random

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

from . import scenes, things
from .model import GLANCE, GLIMPSE, Things, Tower
from .stage import RUNS, Stage

CELLS = GLANCE // 8
FREEZE_FROM = 0.75  # the part of the time after which batch norm is fixed


class Naming(nn.Module):
    """Class and colour of a glimpse, while training."""

    def __init__(self):
        super().__init__()
        self.label = nn.Linear(Tower.DIM, things.CLASSES)
        self.colour = nn.Linear(Tower.DIM, len(things.COLOURS))

    def forward(self, x):
        return self.label(x), self.colour(x)


class Pictures(torch.utils.data.IterableDataset):
    """Batches of glimpses and of glances in turn."""

    def __init__(self, seed, glimpses=32, glances=6, per_glance=8):
        self.seed, self.glimpses, self.glances, self.per_glance = seed, glimpses, glances, per_glance

    def __iter__(self):
        info = torch.utils.data.get_worker_info()
        rng = random.Random(self.seed * 1000 + 17 + (info.id if info else 0))
        while True:
            for _ in range(self.per_glance):
                batch = [scenes.crop(rng, GLIMPSE) for _ in range(self.glimpses)]
                yield ("glimpse", torch.from_numpy(np.stack([b[0] for b in batch])), torch.tensor([b[1] for b in batch]), torch.tensor([b[2] for b in batch]))
            batch = [scenes.scene(rng, GLANCE) for _ in range(self.glances)]
            heat, boxes = zip(*(targets(s) for s in batch))
            yield ("glance", torch.from_numpy(np.stack([s.image for s in batch])), torch.from_numpy(np.stack(heat)), boxes)


def targets(scene):
    """A scene's centre heatmap [28, 28] and its boxes as (row, column, log w, log h, dx, dy)."""
    heat, found = np.zeros((CELLS, CELLS), np.float32), []
    rows, columns = np.mgrid[0:CELLS, 0:CELLS]
    for thing in scene.things:
        x0, y0, x1, y1 = (v / 8 for v in thing.box)
        cx, cy, w, h = (x0 + x1) / 2, (y0 + y1) / 2, max(x1 - x0, 0.5), max(y1 - y0, 0.5)
        column, row = min(int(cx), CELLS - 1), min(int(cy), CELLS - 1)
        spread = np.clip(0.09 * (w + h) / 2, 0.35, 1.6)
        heat = np.maximum(heat, np.exp(-((columns - column) ** 2 + (rows - row) ** 2) / (2 * spread * spread)))
        heat[row, column] = 1
        found.append((row, column, np.log(w), np.log(h), cx - column - 0.5, cy - row - 0.5))
    return heat.astype(np.float32), found


def focal(logit, heat):
    """CenterNet's penalty-reduced focal loss (Zhou et al., 2019), per thing."""
    p = torch.sigmoid(logit).clamp(1e-5, 1 - 1e-5)
    at = heat == 1
    loss = -torch.where(at, (1 - p) ** 2 * p.log(), (1 - heat) ** 4 * p * p * (1 - p).log())
    return loss.sum() / at.sum().clamp(min=1)


def as_input(images):
    return (images.permute(0, 3, 1, 2).float() / 255).contiguous(memory_format=torch.channels_last)


def freeze_norms(module):
    for m in module.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.eval()


@torch.no_grad()
def accuracy(tower, naming, split, count=500):
    """The share of clean single-thing glimpses named rightly."""
    tower.eval()
    rng, right, seen = random.Random(5), 0, 0
    while seen < count:
        images, labels = [], []
        for _ in range(50):
            image, label, _ = scenes.crop(rng, GLIMPSE, split)
            images.append(image), labels.append(label)
        out = naming(tower.glimpse(as_input(torch.from_numpy(np.stack(images)))))[0].argmax(1)
        right += (out == torch.tensor(labels)).sum().item()
        seen += 50
    tower.train()
    return right / seen


def main():
    tower, finder, naming = Tower().to(memory_format=torch.channels_last), Things(), Naming()
    stage = Stage("tower", {"tower": tower, "things": finder, "naming": naming}, rate=2e-3, decay=0.03)
    batches = iter(torch.utils.data.DataLoader(Pictures(stage.step + 1), batch_size=None, num_workers=1, prefetch_factor=8))
    frozen = False
    while stage.running():
        part = stage.spent / (60 * stage.options.minutes)
        if part > FREEZE_FROM and not frozen:
            frozen = True
            freeze_norms(tower), freeze_norms(finder)
        kind, images, first, second = next(batches)
        if kind == "glimpse":
            with torch.autocast("cpu", dtype=torch.bfloat16):
                vector = tower.glimpse(as_input(images))
            label, colour = naming(vector.float())
            loss = F.cross_entropy(label, first, label_smoothing=0.05)
            coloured = second >= 0
            if coloured.any():
                loss = loss + 0.5 * F.cross_entropy(colour[coloured], second[coloured]) * coloured.float().mean() * 4
            stage.update(loss, len(images), naming=loss, right=(label.argmax(1) == first).float().mean())
        else:
            if part < 0.05:
                continue
            with torch.autocast("cpu", dtype=torch.bfloat16):
                out = finder(*tower(as_input(images))).float()
            loss = focal(out[:, 0], first)
            where = [(i, *box) for i, boxes in enumerate(second) for box in boxes]
            if where:
                t = torch.tensor(where)
                at = out[t[:, 0].long(), 1:, t[:, 1].long(), t[:, 2].long()]
                loss = loss + (at - t[:, 3:]).abs().sum(1).mean() * 0.5
            stage.update(0.3 * loss, 0, finding=loss)
        if stage.step % 1500 == 0:
            print(f"step {stage.step}: named, trained art {accuracy(tower, naming, 'train'):.4f}, other art {accuracy(tower, naming, 'eval-art'):.4f}", flush=True)
            if frozen:
                freeze_norms(tower)
    print(f"end: named, trained art {accuracy(tower, naming, 'train', 2000):.4f}, other art {accuracy(tower, naming, 'eval-art', 2000):.4f}")
    torch.save({k: m.state_dict() for k, m in stage.modules.items()}, RUNS / "tower.done.pt")


if __name__ == "__main__":
    main()
