"""What every training stage shares: a clock-driven schedule, checkpoints that resume, a line of progress."""

import argparse
import math
import os
import time
from pathlib import Path

import torch

RUNS = Path(__file__).parent.parent / "runs"


def replayed(rng, make, batch, shelf):
    """Batches without end: a third of each is made now, the others come back from a shelf of the latest made."""
    kept = []
    while True:
        fresh = batch if len(kept) < shelf // 4 else -(-batch // 3)
        made = [make() for _ in range(fresh)]
        yield made + rng.choices(kept, k=batch - fresh) if fresh < batch else made
        kept += made
        if len(kept) > shelf:
            del kept[:shelf // 8]


class Stage:
    """Trains modules for a number of minutes; the learning rate follows the time spent, over all resumptions."""

    def __init__(self, name, modules, rate=2e-3, decay=0.02):
        options = argparse.ArgumentParser()
        options.add_argument("--minutes", type=float, default=30.0)
        options.add_argument("--threads", type=int, default=1)
        options.add_argument("--fresh", action="store_true")
        options.add_argument("--rate", type=float, default=rate)
        self.options, _ = options.parse_known_args()
        torch.set_num_threads(self.options.threads)
        self.name, self.modules = name, modules
        weights, rest = [], []
        for module in modules.values():
            for p in module.parameters():
                if p.requires_grad:
                    (weights if p.ndim > 1 else rest).append(p)
        groups = [{"params": weights, "weight_decay": decay}, {"params": rest, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=self.options.rate, betas=(0.9, 0.98))
        self.spent, self.step, self.seen = 0.0, 0, 0
        self.losses, self.saved, self.last = {}, time.time(), time.time()
        RUNS.mkdir(exist_ok=True)
        self.path = RUNS / f"{name}.pt"
        if self.path.exists() and not self.options.fresh:
            state = torch.load(self.path)
            for key, module in modules.items():
                if key in state["modules"]:
                    module.load_state_dict(state["modules"][key])
            if "optimizer" in state:
                self.optimizer.load_state_dict(state["optimizer"])
            self.spent, self.step, self.seen = state["spent"], state["step"], state["seen"]
            print(f"{name}: resumed after {self.spent / 60:.1f} minutes, {self.seen} samples", flush=True)
        self.start = time.time() - self.spent

    def running(self):
        """False when the minutes are over; sets the learning rate: a short rise, then a cosine to zero."""
        self.spent = time.time() - self.start
        part = self.spent / (60 * self.options.minutes)
        if part >= 1:
            self.save()
            return False
        rise = min(1.0, (self.step + 1) / 300)
        for group in self.optimizer.param_groups:
            group["lr"] = self.options.rate * rise * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * part)))
        return True

    def update(self, objective, samples, **shown):
        self.optimizer.zero_grad(set_to_none=True)
        objective.backward()
        for module in self.modules.values():
            torch.nn.utils.clip_grad_norm_([p for p in module.parameters() if p.requires_grad], 2.0)
        self.optimizer.step()
        self.step += 1
        self.seen += samples
        for key, value in shown.items():
            self.losses[key] = 0.98 * self.losses.get(key, float(value)) + 0.02 * float(value)
        if time.time() - self.last > 20:
            self.last = time.time()
            text = " ".join(f"{k} {v:.4f}" for k, v in self.losses.items())
            print(f"{self.name} {self.spent / 60:6.1f} min  step {self.step:6}  seen {self.seen:8}  {self.seen / self.spent:5.0f}/s  {text}", flush=True)
        if time.time() - self.saved > 180:
            self.save()

    def save(self):
        self.saved = time.time()
        state = {"modules": {k: m.state_dict() for k, m in self.modules.items()}, "optimizer": self.optimizer.state_dict(),
                 "spent": self.spent, "step": self.step, "seen": self.seen}
        torch.save(state, self.path.with_suffix(".tmp"))
        os.replace(self.path.with_suffix(".tmp"), self.path)
