"""Where things are: the finder learns scenes. `python -m nano.train_things --minutes 15`."""

import random

import numpy as np
import torch

from . import scenes
from .model import GLANCE, Things
from .stage import RUNS, Stage, replayed
from .train_tower import as_input

CELLS = GLANCE // 8


class Scenes(torch.utils.data.IterableDataset):
    """Batches of pictures, centre heatmaps and boxes."""

    def __init__(self, seed, batch=16):
        self.seed, self.batch = seed, batch

    def __iter__(self):
        info = torch.utils.data.get_worker_info()
        rng = random.Random(self.seed * 1000 + 53 + (info.id if info else 0))

        def make():
            scene = scenes.scene(rng, GLANCE)
            return scene.image, *targets(scene)

        for made in replayed(rng, make, self.batch, 6_000):
            images, heat, boxes = zip(*made)
            yield torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(heat)), boxes


def targets(scene):
    """A scene's centre heatmap [20, 20], and (row, column, log w, log h, dx, dy) for the cells that must know a box.

    Those are the cells near its centre, as a peak may lie beside it.
    """
    heat, found = np.zeros((CELLS, CELLS), np.float32), []
    rows, columns = np.mgrid[0:CELLS, 0:CELLS]
    for thing in scene.things:
        x0, y0, x1, y1 = (v / 8 for v in thing.box)
        cx, cy, w, h = (x0 + x1) / 2, (y0 + y1) / 2, max(x1 - x0, 0.5), max(y1 - y0, 0.5)
        column, row = min(int(cx), CELLS - 1), min(int(cy), CELLS - 1)
        spread = np.clip(0.09 * (w + h) / 2, 0.35, 1.6)
        heat = np.maximum(heat, np.exp(-((columns - column) ** 2 + (rows - row) ** 2) / (2 * spread * spread)))
        heat[row, column] = 1
        for r in range(max(row - 1, 0), min(row + 2, CELLS)):
            for c in range(max(column - 1, 0), min(column + 2, CELLS)):
                if (r, c) == (row, column) or (abs(r - cy + 0.5) < 0.2 * h and abs(c - cx + 0.5) < 0.2 * w):
                    found.append((r, c, np.log(w), np.log(h), cx - c - 0.5, cy - r - 0.5))
    return heat.astype(np.float32), found


def focal(logit, heat):
    """CenterNet's penalty-reduced focal loss (Zhou et al., 2019), per thing."""
    p = torch.sigmoid(logit).clamp(1e-5, 1 - 1e-5)
    at = heat == 1
    loss = -torch.where(at, (1 - p) ** 2 * p.log(), (1 - heat) ** 4 * p * p * (1 - p).log())
    return loss.sum() / at.sum().clamp(min=1)


def main():
    finder = Things().to(memory_format=torch.channels_last)
    stage = Stage("things", {"things": finder})
    batches = iter(torch.utils.data.DataLoader(Scenes(stage.step + 1), batch_size=None, num_workers=1, prefetch_factor=8))
    while stage.running():
        images, heat, boxes = next(batches)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out = finder(as_input(images)).float()
        centre = focal(out[:, 0], heat)
        where = torch.tensor([(i, *box) for i, found in enumerate(boxes) for box in found] or [(0,) * 7])
        at = out[where[:, 0].long(), 1:, where[:, 1].long(), where[:, 2].long()]
        extent = (at - where[:, 3:]).abs().sum(1).mean()
        stage.update(centre + 0.5 * extent, len(images), centre=centre, extent=extent)
    torch.save({"things": finder.state_dict()}, RUNS / "things.done.pt")


if __name__ == "__main__":
    main()
