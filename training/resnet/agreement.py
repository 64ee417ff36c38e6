"""How far narrower weights move the decisions of a ResNet-50, on a network that was taught something.

There is no trained checkpoint here, and random weights decide by next to nothing. So this teaches a ResNet-50 of `transformers` for some minutes to
tell the pictures of `fixtures/eval` apart by crops of 64 pixels, and shows `tiny-vlm classify` crops that it has not seen.

usage: python training/resnet/agreement.py FOLDER TINY_VLM [SECONDS]
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision import transforms as T
from transformers import ResNetConfig, ResNetForImageClassification
from transformers.models.convnext.image_processing_pil_convnext import ConvNextImageProcessorPil

PICTURES = Path(__file__).parent.parent.parent / "fixtures/eval"
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
CROPS = 4


def pictures():
    found = sorted(str(p) for p in PICTURES.rglob("*") if p.suffix in (".png", ".jpg", ".webp"))
    images = [Image.open(path).convert("RGB") for path in found]
    short = lambda image: image.resize([int(side * 160 / min(image.size)) for side in image.size])
    return [short(image) if min(image.size) > 160 else image for image in images]


def teach(images, folder, seconds):
    names = {i: f"picture {i}" for i in range(len(images))}
    model = ResNetForImageClassification(ResNetConfig(id2label=names, label2id={name: i for i, name in names.items()}))
    cut = T.Compose([
        T.RandomResizedCrop(64, scale=(0.35, 1.0), interpolation=T.InterpolationMode.BICUBIC),
        T.ColorJitter(0.3, 0.3, 0.3), T.ToTensor(), T.Normalize(MEAN, STD)])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.02)
    start, step = time.time(), 0
    while (done := (time.time() - start) / seconds) < 1:
        for group in optimizer.param_groups:
            group["lr"] = 1.5e-3 * min(1, step / 40) * max(0.01, 1 - done)
        chosen = torch.randperm(len(images))[:48]
        loss = torch.nn.functional.cross_entropy(model(torch.stack([cut(images[i]) for i in chosen])).logits, chosen)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
    model.eval().save_pretrained(folder)
    size = {"shortest_edge": 64}
    ConvNextImageProcessorPil(size=size, crop_pct=0.875, resample=3, image_mean=MEAN, image_std=STD).save_pretrained(folder)


def scores(program, folder, precision, crops):
    command = [program, "classify", "--model", folder, "--precision", precision, "--json", "--top", "1000", *crops]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    ordered = lambda line: [c["score"] for c in sorted(json.loads(line)["classes"], key=lambda c: c["number"])]
    return torch.tensor([ordered(line) for line in lines], dtype=torch.float64)


def main():
    folder, program = Path(sys.argv[1]), sys.argv[2]
    torch.manual_seed(0)
    images = pictures()
    teach(images, folder, int(sys.argv[3]) if len(sys.argv) > 3 else 780)
    torch.manual_seed(99)
    held_out = T.Compose([T.RandomResizedCrop(96, scale=(0.35, 1.0)), T.ColorJitter(0.3, 0.3, 0.3)])
    crops = []
    for i, image in enumerate(images):
        for k in range(CROPS):
            crops.append(str(folder / f"{i:03}-{k}.png"))
            held_out(image).save(crops[-1])
    truth = torch.from_numpy(np.repeat(np.arange(len(images)), CROPS))
    full = scores(program, folder, "f32", crops)
    for precision in ("f32", "bf16", "int8"):
        narrow = full if precision == "f32" else scores(program, folder, precision, crops)
        p, q = full.log_softmax(1), narrow.log_softmax(1)
        share = lambda which: 100 * which.double().mean().item()
        print(f"{precision}: right {share(narrow.argmax(1) == truth):.1f} %, as f32 {share(narrow.argmax(1) == full.argmax(1)):.1f} %, "
              f"divergence {(p.exp() * (p - q)).sum(1).mean().item():.5f}, {len(crops)} crops")


if __name__ == "__main__":
    main()
