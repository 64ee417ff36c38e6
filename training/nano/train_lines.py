"""Stage 3: finding lines of print. `python -m nano.train_lines --minutes 15`."""

import random

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from . import pages
from .model import Lines
from .pipeline import CAP_RANGE
from .stage import RUNS, Stage, replayed

SIDE = 256


def targets(found, side):
    """Core mask, log2(cap / 16) and weight, each [side / 4, side / 4]."""
    mask, weight = np.zeros((side, side), np.uint8), np.full((side, side), 255, np.uint8)
    caps = np.zeros((side, side), np.float32)
    for _, quad in found:
        down, up = (quad[3] + quad[2] - quad[0] - quad[1]) / 2, (quad[0] + quad[1]) / 2
        cap = float(np.linalg.norm(down))
        if not CAP_RANGE[0] <= cap <= CAP_RANGE[1]:
            cv2.fillPoly(weight, [np.round(quad).astype(np.int32)], 0)
            continue
        unit = down / cap
        half = max(0.25 * cap, 2.2)
        top, bottom = (quad[0] + quad[3]) / 2, (quad[1] + quad[2]) / 2
        band = np.array([top - unit * half, bottom - unit * half, bottom + unit * half, top + unit * half])
        points = [np.round((band - 0.5) * 16).astype(np.int32)]
        cv2.fillPoly(mask, points, 255, shift=4)
        cv2.fillPoly(caps, points, float(np.log2(cap / 16)), shift=4)
    shrink = lambda a: a.reshape(side // 4, 4, side // 4, 4)
    share = shrink(mask.astype(np.float32) / 255).mean((1, 3))
    cap_sum = shrink(caps * (mask > 0)).sum((1, 3)) / np.maximum(shrink((mask > 0).astype(np.float32)).sum((1, 3)), 1)
    return (share >= 0.5).astype(np.float32), cap_sum, (shrink(weight).min((1, 3)) > 0).astype(np.float32)


class Pictures(torch.utils.data.IterableDataset):
    def __init__(self, seed, batch=12):
        self.seed, self.batch = seed, batch

    def __iter__(self):
        info = torch.utils.data.get_worker_info()
        rng = random.Random(self.seed * 1000 + 29 + (info.id if info else 0))

        def make():
            image, found = pages.picture(rng, SIDE)
            return image[None], *targets(found, SIDE)

        for made in replayed(rng, make, self.batch, 3_000):
            yield tuple(torch.from_numpy(np.stack(part)) for part in zip(*made))


def main():
    net = Lines().to(memory_format=torch.channels_last)
    stage = Stage("lines", {"lines": net})
    batches = iter(torch.utils.data.DataLoader(Pictures(stage.step + 1), batch_size=None, num_workers=1, prefetch_factor=8))
    while stage.running():
        images, mask, caps, weight = next(batches)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out = net((images.float() / 255).contiguous(memory_format=torch.channels_last)).float()
        entropy = (F.binary_cross_entropy_with_logits(out[:, 0], mask, reduction="none") * weight * (1 + mask)).mean()
        p = torch.sigmoid(out[:, 0]) * weight
        dice = 1 - 2 * ((p * mask).sum() + 1) / (p.sum() + (mask * weight).sum() + 2)
        inside = mask * weight
        height = ((out[:, 1] - caps).abs() * inside).sum() / inside.sum().clamp(min=1)
        stage.update(3 * entropy + 0.5 * dice + height, len(images), entropy=entropy, dice=dice, height=height)
    torch.save({"lines": net.state_dict()}, RUNS / "lines.done.pt")


if __name__ == "__main__":
    main()
