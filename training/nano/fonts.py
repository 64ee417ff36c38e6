"""Which fonts print is made with: those of Debian's packages that can write Latin text.

`python -m nano.fonts` prints the families. Four packages are never trained on.
"""

import json
import subprocess
from functools import cache, lru_cache
from pathlib import Path

from fontTools.ttLib import TTCollection, TTFont
from PIL import Image, ImageDraw, ImageFont

HELD_OUT = ("Andika", "Vollkorn", "Play", "Junction")
NEEDED = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:;!?-()'\"/&")
# Faces whose Latin letters are not what their code points say (symbols, ciphers, ornaments), or unreadable ones.
NOT_LATIN = ("symbol", "dingbat", "ornament", "emoji", "math", "initials", "lirana", "glagolitic", "webding", "font awesome",
             "levien", "cuneiform", "circos", "glyph", "mutt", "entypo", "music", "braille", "sixtyfour convergence",
             "unicode bmp fallback", "d050000l", "standard symbols", "opensymbol", "redacted", "barcode", "keyboard", "keyfont", "binary",
             " brk",
             # Capitals, small or not, in the place of small letters: the case of what is printed cannot be told.
             "bebas neue", "[f500]", "titling", "smallcaps", "roman caps", "irianis adf style", "romande adf style", "because we", "unifur")
DISPLAY = ("Lobster", "Cherry Bomb", "Rampart", "Reggae", "StayPuft", "Cabin", "Leckerli", "Smiley", "Museum", "Radis", "Solide", "Le Murmure",
           "Millimetre", "Fantasma", "Engadget", "C-64", "Atari", "Havana", "Joscelyn", "Junkyard", "Penguin", "Persuasion", "Triod", "Stick",
           "RocknRoll", "Oldania", "Spleen", "Caliban", "Campania", "Aerial", "Tomson", "Cupola", "Veranda")
HANDWRITING = ("Breip", "Dancing", "DkgHandwriting", "Domestic", "Ecolier", "Humor", "Isabella", "Johnny", "Kristi", "Mad's", "Rufscript", "Seto", "Summersby",
               "Klee", "Yusei", "Steve", "Z003", "Chancery", "Delphine", "El Abogado", "Kaushan", "Romande ADF Script", "femkeklaver", "TeX Gyre Chorus")
CACHE = Path(__file__).parent.parent / "cache" / "fonts.json"


def scan():
    """Every usable face as {path, index, family, held_out, characters}."""
    listing = subprocess.run(["fc-list", "--format", "%{file}\t%{index}\t%{family[0]}\t%{style[0]}\n"],
                             capture_output=True, text=True, check=True).stdout
    faces, per_family = [], {}
    for line in sorted(set(listing.split("\n"))):
        if line.count("\t") < 2:
            continue
        path, index, family, _style = (line.split("\t") + [""])[:4]
        lower = family.lower()
        if not path.lower().endswith((".ttf", ".otf", ".ttc")) or any(word in lower for word in NOT_LATIN):
            continue
        if lower.startswith("noto ") and lower not in ("noto sans", "noto serif", "noto sans mono", "noto serif display", "noto sans display"):
            continue
        if per_family.get(family, 0) >= 4 or int(index) > 0xFFFF:
            continue
        try:
            font = TTCollection(path).fonts[int(index)] if path.endswith(".ttc") else TTFont(path, lazy=True)
            cmap = {chr(c) for c in font.getBestCmap()}
            ImageFont.truetype(path, 20, index=int(index)).getmask("Hxg")
        except Exception:  # a broken font file is simply not used
            continue
        if not NEEDED <= cmap:
            continue
        per_family[family] = per_family.get(family, 0) + 1
        held = any(family == name or family.startswith(name + " ") for name in HELD_OUT)
        faces.append({"path": path, "index": int(index), "family": family, "held_out": held,
                      "kind": "display" if family.startswith(DISPLAY) else "handwriting" if family.startswith(HANDWRITING) else "text",
                      "characters": "".join(sorted(c for c in cmap if " " <= c < "\u2123"))})
    return faces


@cache
def faces(held_out=False):
    if not CACHE.exists():
        CACHE.parent.mkdir(parents=True, exist_ok=True)
        CACHE.write_text(json.dumps(scan(), ensure_ascii=False))
    chosen = [f for f in json.loads(CACHE.read_text()) if f["held_out"] == held_out]
    for face in chosen:
        face["characters"] = frozenset(face["characters"])
    return chosen


@lru_cache(6000)
def load(path, index, size):
    return ImageFont.truetype(path, size, index=index, layout_engine=ImageFont.Layout.BASIC)


if __name__ == "__main__":
    for kind in (False, True):
        families = sorted({f["family"] for f in faces(kind)})
        for face_kind in ("text", "display", "handwriting"):
            print(face_kind, len({f["family"] for f in faces(kind) if f["kind"] == face_kind}))
        print(f"{'held out' if kind else 'trained'}: {len(families)} families, {len(faces(kind))} faces: {', '.join(families)}")
