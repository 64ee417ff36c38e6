"""Photographs and patterns that backdrops are cut from: Debian's wallpapers, shrunk. GNOME's are for evaluation only."""

from functools import cache
from pathlib import Path

import cv2

FOLDERS = {"train": ("/usr/share/backgrounds/mate", "/usr/share/wallpapers"), "eval": ("/usr/share/backgrounds/gnome",)}
# A wallpaper of many little drawings, as GNOME's "pixels": it shows things, and nobody says which.
UNKNOWN = ("screenshot", "pixels")
CACHE = Path(__file__).parent.parent / "cache" / "photos"


@cache
def colours(split):
    """All photographs of a split as u8 RGB, the longer side at most 900 pixels; whatever is not training is evaluation."""
    split = "train" if split == "train" else "eval"
    folder = CACHE / split
    if not folder.exists():
        folder.mkdir(parents=True)
        found = sorted(p for root in FOLDERS[split] for p in Path(root).rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"))
        best = {}
        for path in found:  # Plasma ships each wallpaper at many sizes: the largest file of a folder will do
            if not path.name.startswith(UNKNOWN):
                best[path.parent if split == "train" and "wallpapers" in str(path) else path] = max(
                    best.get(path.parent, path), path, key=lambda p: p.stat().st_size)
        for i, path in enumerate(best.values()):
            image = cv2.imread(str(path), cv2.IMREAD_COLOR)
            if image is None:
                continue
            scale = min(1.0, 900 / max(image.shape[:2]))
            cv2.imwrite(str(folder / f"{i:03}.png"), cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
    return [cv2.cvtColor(cv2.imread(str(p)), cv2.COLOR_BGR2RGB) for p in sorted(folder.glob("*.png"))]


@cache
def greys(split):
    return [cv2.cvtColor(c, cv2.COLOR_RGB2GRAY) for c in colours(split)]


if __name__ == "__main__":
    for split in FOLDERS:
        print(split, len(colours(split)))
