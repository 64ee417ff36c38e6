"""Makes the fixtures that crates/image/tests compare against, with Pillow as the reference.

    python crates/image/tests/golden/make.py          (Pillow 13.0.0, numpy 2.4.6)

All pictures are computed here; nothing is drawn by anyone else. Written to fixtures/image/:

  *.png *.jpg *.webp *.gif *.bmp   the files to decode
  decode.txt                       a line a file: name, width, height, then the offsets in expected.bin of its pixels as
                                   convert("RGB") and as laid on white
  resize.txt                       a line a case: source, channels, width, height, filter, box (or -), then length and
                                   FNV-1a hash of the result, its offset in expected.bin where it is short (or -), and
                                   the hash with the passes in Pillow 12's order (or - with a box)
  luma.bin                         mode L of 512 colours
  expected.bin                     the bytes that the others point into
"""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

OUT = Path(__file__).resolve().parents[4] / "fixtures" / "image"
FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
expected = bytearray()
known = {}


def keep(data: bytes) -> int:
    """Appends to expected.bin once; returns where it lies."""
    if data not in known:
        known[data] = len(expected)
        expected.extend(data)
    return known[data]


def fnv(data: bytes) -> int:
    h = 0xCBF29CE484222325
    for byte in data:
        h = ((h ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return h


def scene(width: int, height: int, seed: int) -> np.ndarray:
    """Smooth colours, hard edges, thin lines and noise: something for every filter to get wrong."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    r = 127.5 + 127.5 * np.sin(x / 7.0 + y / 11.0)
    g = 255.0 * ((x // 5 + y // 3) % 2)
    b = 255.0 * x / max(width - 1, 1)
    image = np.stack([r, g, b], axis=-1)
    image[(x - width / 2) ** 2 + (y - height / 2) ** 2 < (min(width, height) / 3) ** 2] = (250, 20, 60)
    image[(x + 2 * y) % 29 == 0] = 255
    noise = rng.integers(0, 256, size=image.shape)
    image = np.where(y[..., None] > height * 0.8, noise, image)
    return image.clip(0, 255).astype(np.uint8)


def resizes() -> None:
    lines = []
    sources = {
        "scene-97x61.png": scene(97, 61, 1),
        "scene-1x1.png": scene(1, 1, 2),
        "scene-1x2000.png": scene(1, 2000, 3),
        "scene-2000x1.png": scene(2000, 1, 4),
        "scene-256x160.png": scene(256, 160, 5),
        "extremes-64x64.png": (np.random.default_rng(6).integers(0, 2, (64, 64, 3)) * 255).astype(np.uint8),
    }
    cases = {
        "scene-97x61.png": [
            (97, 61, None), (48, 30, None), (13, 7, None), (90, 12, None), (80, 12, (5.5, 3.0, 80.25, 59.5)), (1, 1, None), (2, 3, None), (97, 20, None), (20, 61, None),
            (98, 61, None), (97, 62, None), (150, 200, None), (301, 17, None), (64, 64, (3.5, 2.25, 90.75, 60.5)),
            (97, 61, (0.5, 0.0, 96.5, 61.0)), (97, 61, (0.0, 0.0, 97.0, 60.9)), (10, 10, (40.1, 30.2, 40.9, 30.3)),
            (33, 5, (0.0, 0.0, 97.0, 1.0)), (5, 33, (96.0, 0.0, 97.0, 61.0)), (31, 29, (7.0, 5.0, 38.0, 34.0)),
            (224, 224, None), (96, 96, (11.3, 4.7, 71.9, 59.2)),
        ],
        "scene-1x1.png": [(1, 1, None), (5, 3, None), (64, 1, None), (4, 4, (0.25, 0.25, 0.75, 0.5))],
        "scene-1x2000.png": [(1, 2000, None), (1, 500, None), (3, 1999, None), (1, 1, None), (8, 64, None)],
        "scene-2000x1.png": [(500, 1, None), (1999, 3, None), (1, 1, None), (64, 8, (0.5, 0.0, 1999.5, 1.0))],
        "scene-256x160.png": [
            (224, 224, None), (512, 320, None), (128, 80, None), (64, 40, None), (255, 159, None), (37, 111, None),
            (96, 96, (100.0, 20.0, 180.0, 100.0)), (384, 384, None), (32, 32, (0.0, 0.0, 256.0, 160.0)),
        ],
        "extremes-64x64.png": [(63, 63, None), (65, 65, None), (128, 128, None), (17, 40, None), (200, 9, None)],
    }
    for name, pixels in sources.items():
        Image.fromarray(pixels).save(OUT / name, optimize=True)
        colour = Image.fromarray(pixels)
        for channels, image in ((3, colour), (1, colour.convert("L"))):
            for width, height, box in cases[name]:
                for label, resample in FILTERS.items():
                    data = image.resize((width, height), resample, box=box).tobytes()
                    where = keep(data) if len(data) <= 700 else "-"
                    area = ",".join(map(str, box)) if box else "-"
                    across = image.resize((width, image.height), resample).resize((width, height), resample)
                    before = "-" if box else f"{fnv(across.tobytes()):016x}"
                    lines.append(f"{name} {channels} {width} {height} {label} {area} {len(data)} {fnv(data):016x} {where} {before}")
    (OUT / "resize.txt").write_text("\n".join(lines) + "\n")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(samples: np.ndarray, bits: int, colour: int, interlaced: bool = False, extra: bytes = b"") -> bytes:
    """A PNG of any kind, for those that Pillow does not write. `samples` is height × width × channels."""
    height, width, channels = samples.shape

    def rows(part: np.ndarray) -> bytes:
        out = b""
        for row in part:
            flat = row.reshape(-1)
            if bits == 16:
                out += b"\0" + flat.astype(">u2").tobytes()
            elif bits == 8:
                out += b"\0" + flat.astype(np.uint8).tobytes()
            else:
                spread = (flat[:, None].astype(np.uint8) >> np.arange(bits - 1, -1, -1)) & 1
                out += b"\0" + np.packbits(spread.reshape(-1).astype(np.uint8)).tobytes()
        return out

    if interlaced:
        data = b""
        for x0, y0, dx, dy in ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)):
            part = samples[y0::dy, x0::dx]
            if part.size:
                data += rows(part)
    else:
        data = rows(samples)
    ihdr = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, int(interlaced))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", ihdr) + extra + chunk(b"IDAT", zlib.compress(data, 9)) + chunk(b"IEND", b""))


def exif(orientation: int, order: str = "<") -> bytes:
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    return head + struct.pack(order + "HHHIHHI", 1, 0x0112, 3, 1, orientation, 0, 0)


def bmp(width: int, height: int, bits: int, compression: int, body: bytes, middle: bytes = b"") -> bytes:
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(body), 2835, 2835, 0, 0) + middle
    return b"BM" + struct.pack("<IHHI", 14 + len(info) + len(body), 0, 0, 14 + len(info)) + info + body


def segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, 2 + len(data)) + data


def jpeg(width, height, factors, ids, extra, interleaved, rng) -> bytes:
    """A sequential JPEG of random coefficients, for the kinds that Pillow does not write."""
    h_max, v_max = max(h for h, _ in factors), max(v for _, v in factors)
    units_x, units_y = -(-width // (8 * h_max)), -(-height // (8 * v_max))
    # A code of four bits for each size of DC, and one of eight for each run and size of AC.
    symbols = [run << 4 | n for run in range(16) for n in range(8) if n or run in (0, 15)]
    code = {symbol: i for i, symbol in enumerate(symbols)}
    tables = segment(0xC4, b"\x00" + bytes([0, 0, 0, 12] + [0] * 12) + bytes(range(12)))
    tables += segment(0xC4, b"\x10" + bytes([0] * 7 + [len(symbols)] + [0] * 8) + bytes(symbols))
    quantizers = segment(0xDB, b"\x00" + bytes([9] + [int(4 + k / 2) for k in range(1, 64)]))
    sof = struct.pack(">BHHB", 8, height, width, len(ids))
    sof += b"".join(bytes([i, h << 4 | v, 0]) for i, (h, v) in zip(ids, factors))
    blocks = {}
    for c, (h, v) in enumerate(factors):
        for position in np.ndindex(units_y * v, units_x * h):
            block = np.zeros(64, int)
            block[0] = rng.integers(-90, 90)
            for k in rng.integers(1, 40, 5):
                block[k] = rng.integers(-12, 12) if k < 10 else rng.integers(-1, 2)
            blocks[c, *position] = block

    class Writer:
        def __init__(self):
            self.bits, self.last = [], [0] * len(ids)

        def put(self, value: int, n: int) -> None:
            self.bits += [(value >> i) & 1 for i in range(n - 1, -1, -1)]

        def number(self, value: int) -> tuple[int, int]:
            n = abs(value).bit_length()
            return (value if value >= 0 else value + (1 << n) - 1), n

        def block(self, c: int, block) -> None:
            value, n = self.number(int(block[0]) - self.last[c])
            self.last[c] = int(block[0])
            self.put(n, 4)
            self.put(value, n)
            zeros = 0
            for k in range(1, 64):
                if block[k] == 0:
                    zeros += 1
                    continue
                value, n = self.number(int(block[k]))
                while zeros > 15:
                    self.put(code[0xF0], 8)
                    zeros -= 16
                self.put(code[zeros << 4 | n], 8)
                self.put(value, n)
                zeros = 0
            if zeros:
                self.put(code[0], 8)

        def bytes(self) -> bytes:
            self.bits += [1] * (-len(self.bits) % 8)
            return np.packbits(np.array(self.bits, np.uint8)).tobytes().replace(b"\xff", b"\xff\0")

    def scan(parts: list[int]) -> bytes:
        writer = Writer()
        if len(parts) == 1:
            (c,) = parts
            h, v = factors[c] if len(ids) > 1 else (1, 1)
            across = -(-(-(-width * h // h_max) if len(ids) > 1 else width) // 8)
            down = -(-(-(-height * v // v_max) if len(ids) > 1 else height) // 8)
            for y, x in np.ndindex(down, across):
                writer.block(c, blocks[c, y, x])
        else:
            for y, x in np.ndindex(units_y, units_x):
                for c in parts:
                    h, v = factors[c]
                    for j, i in np.ndindex(v, h):
                        writer.block(c, blocks[c, y * v + j, x * h + i])
        head = bytes([len(parts)]) + b"".join(bytes([ids[c], 0]) for c in parts) + bytes([0, 63, 0])
        return segment(0xDA, head) + writer.bytes()

    every = list(range(len(ids)))
    scans = b"".join(scan([c]) for c in every) if not interleaved else scan(every)
    return b"\xff\xd8" + extra + quantizers + segment(0xC0, sof) + tables + scans + b"\xff\xd9"


def files() -> dict[str, bytes]:
    rng = np.random.default_rng(7)
    out: dict[str, bytes] = {}

    def saved(name: str, image: Image.Image, **options) -> None:
        buffer = io.BytesIO()
        image.save(buffer, Image.registered_extensions()["." + name.rsplit(".", 1)[1]], **options)
        out[name] = buffer.getvalue()

    photo = Image.fromarray(scene(37, 29, 8))
    soft = Image.fromarray(scene(16, 12, 9)).resize((53, 41), Image.Resampling.BICUBIC)
    ramp = np.linspace(0, 255, 37 * 29).reshape(29, 37).astype(np.uint8)
    rgba = Image.fromarray(np.dstack([np.asarray(photo), ramp]))

    for bits in (1, 2, 4, 8):
        grey = rng.integers(0, 1 << bits, (11, 13, 1))
        out[f"grey{bits}.png"] = png(grey, bits, 0)
        out[f"grey{bits}-interlaced.png"] = png(grey, bits, 0, True)
        colours = rng.integers(0, 256, (1 << bits, 3)).astype(np.uint8)
        plte = chunk(b"PLTE", colours.tobytes())
        trns = chunk(b"tRNS", bytes(rng.integers(0, 256, 1 << bits).astype(np.uint8)))
        out[f"palette{bits}.png"] = png(grey, bits, 3, extra=plte)
        out[f"palette{bits}-alpha.png"] = png(grey, bits, 3, True, extra=plte + trns)
    deep = rng.integers(0, 65536, (11, 13, 4))
    deep[:, ::3] //= 256
    out["grey16.png"] = png(deep[..., :1], 16, 0)
    out["rgb16.png"] = png(deep[..., :3], 16, 2)
    out["rgb16-interlaced.png"] = png(deep[..., :3], 16, 2, True)
    out["grey-alpha16.png"] = png(deep[..., :2], 16, 4)
    out["rgba16.png"] = png(deep, 16, 6)
    out["grey-alpha8.png"] = png(deep[..., :2] & 255, 8, 4)
    out["rgb-key.png"] = png(np.tile([[[1, 2, 3], [9, 8, 7]]], (3, 2, 1)), 8, 2, extra=chunk(b"tRNS", struct.pack(">HHH", 1, 2, 3)))
    out["1x1.png"] = png(np.array([[[200, 100, 50]]]), 8, 2)
    out["1x2000.png"] = png(scene(1, 2000, 3), 8, 2)
    saved("rgb.png", photo)
    saved("rgba.png", rgba)
    out["exif6.png"] = png(scene(7, 5, 10), 8, 2, extra=chunk(b"eXIf", exif(6, ">")))

    saved("rgb.jpg", soft, quality=90, subsampling=0)
    saved("rgb-420.jpg", soft, quality=85, subsampling=2)
    saved("rgb-422.jpg", soft, quality=85, subsampling=1)
    saved("rgb-kept.jpg", soft, quality=90, keep_rgb=True)
    saved("rgb-progressive.jpg", soft, quality=85, progressive=True)
    saved("rgb-progressive-444.jpg", soft, quality=97, subsampling=0, progressive=True)
    saved("rgb-restarts.jpg", soft, quality=85, restart_marker_blocks=3)
    saved("rgb-restarts-progressive.jpg", soft, quality=85, restart_marker_rows=1, progressive=True)
    saved("noise.jpg", Image.fromarray(rng.integers(0, 256, (31, 45, 3)).astype(np.uint8)), quality=100)
    extremes = (rng.integers(0, 2, (37, 50, 3)) * 255).astype(np.uint8)
    saved("extremes.jpg", Image.fromarray(extremes), quality=30, subsampling=2)
    saved("grey.jpg", soft.convert("L"), quality=85)
    saved("grey-progressive.jpg", soft.convert("L"), quality=60, progressive=True)
    saved("cmyk.jpg", soft.convert("CMYK"), quality=90)
    saved("1x1.jpg", Image.new("RGB", (1, 1), (200, 100, 50)))
    for width, height in ((2, 2), (3, 5), (5, 3), (16, 16), (17, 33), (4, 50)):
        saved(f"{width}x{height}.jpg", soft.resize((width, height)), quality=90)
        saved(f"{width}x{height}-progressive.jpg", soft.resize((width, height)), quality=90, progressive=True)
    jfif = segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0")
    adobe = [segment(0xEE, b"Adobe\0\144\0\0\0\0" + bytes([transform])) for transform in range(3)]
    for name, (factors, ids, extra, interleaved) in {
        "440": (((1, 2), (1, 1), (1, 1)), (1, 2, 3), jfif, True),
        "411": (((4, 1), (1, 1), (1, 1)), (1, 2, 3), jfif, True),
        "410": (((4, 2), (1, 1), (1, 1)), (1, 2, 3), b"", True),
        "mixed": (((2, 2), (1, 2), (2, 1)), (0, 1, 2), b"", True),
        "chroma-finer": (((1, 1), (2, 2), (1, 2)), (1, 2, 3), jfif, True),
        "luma-1x4": (((1, 4), (1, 2), (1, 1)), (1, 2, 3), jfif, True),
        "apart": (((2, 2), (1, 1), (1, 1)), (1, 2, 3), jfif, False),
        "adobe-rgb": (((1, 1), (1, 1), (1, 1)), (1, 2, 3), adobe[0], True),
        "named-rgb": (((1, 1), (1, 1), (1, 1)), b"RGB", b"", True),
        "ycck": (((2, 2), (1, 1), (1, 1), (2, 2)), (1, 2, 3, 4), adobe[2], True),
        "inks": (((1, 1), (1, 1), (1, 1), (1, 1)), (1, 2, 3, 4), adobe[0], True),
        "inks-unmarked": (((1, 1), (1, 1), (1, 1), (1, 1)), (1, 2, 3, 4), b"", True),
        "grey-2x2": (((2, 2),), (1,), jfif, True),
    }.items():
        out[f"made-{name}.jpg"] = jpeg(43, 37, factors, ids, extra, interleaved, rng)
    for value in range(1, 9):
        saved(f"exif{value}.jpg", soft.resize((24, 16)), quality=80, exif=b"Exif\0\0" + exif(value))

    saved("lossless.webp", photo, lossless=True)
    saved("lossless-alpha.webp", rgba, lossless=True, exact=True)
    saved("lossy.webp", soft, quality=80)
    saved("lossy-alpha.webp", rgba, quality=80)
    saved("exif8.webp", photo, lossless=True, exif=exif(8))
    saved("animated.webp", rgba, lossless=True, exact=True, save_all=True, append_images=[ImageOps.flip(rgba)])

    index = photo.quantize(32)
    saved("palette.gif", index)
    saved("interlaced.gif", index, interlace=1)
    saved("transparent.gif", index, transparency=3)
    saved("animated.gif", index, save_all=True, append_images=[ImageOps.flip(index)], loop=0)
    whole = out["palette.gif"]
    wide = bytearray(whole)
    wide[6:10] = struct.pack("<HH", 45, 33)
    out["small-frame.gif"] = bytes(wide)
    wide[6:10] = struct.pack("<HH", 20, 40)
    out["large-frame.gif"] = bytes(wide)
    keyed = bytearray(out["transparent.gif"])
    keyed[6:10] = struct.pack("<HH", 45, 33)
    out["small-frame-transparent.gif"] = bytes(keyed)

    saved("rgb.bmp", photo)
    saved("palette8.bmp", index)
    saved("grey8.bmp", photo.convert("L"))
    saved("bits1.bmp", photo.convert("1"))
    saved("rgba.bmp", rgba)
    colours = rng.integers(0, 256, (16, 4)).astype(np.uint8).tobytes()
    nibbles = rng.integers(0, 256, 8 * 4).astype(np.uint8).tobytes()
    out["palette4.bmp"] = bmp(13, 4, 4, 0, nibbles, colours)
    out["top-down.bmp"] = bmp(13, -4, 4, 0, nibbles, colours)
    words = rng.integers(0, 65536, 6 * 4).astype("<u2").tobytes()
    out["rgb555.bmp"] = bmp(6, 4, 16, 0, words)
    out["rgb565.bmp"] = bmp(6, 4, 16, 3, words, struct.pack("<III", 0xF800, 0x07E0, 0x001F))
    run = bytes([3, 5, 0, 5, 1, 2, 3, 4, 5, 0, 0, 0, 9, 250, 0, 0, 0, 2, 2, 1, 4, 77, 0, 0, 9, 8, 0, 1])
    many = rng.integers(0, 256, (256, 4)).astype(np.uint8).tobytes()
    out["rle8.bmp"] = bmp(9, 5, 8, 1, run, many)
    run = bytes([5, 0x12, 0, 3, 0x34, 0x50, 0, 0, 9, 0xAB, 0, 0, 9, 0xCD, 0, 1])
    out["rle4.bmp"] = bmp(9, 3, 4, 2, run, colours)
    return out


def decodes() -> None:
    lines = []
    for name, data in files().items():
        (OUT / name).write_bytes(data)
        image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
        plain = image.convert("RGB")
        # Deep grey with no alpha has no RGBA in Pillow but through its clipped RGB.
        layered = (plain if image.mode.startswith("I") else image).convert("RGBA")
        white = Image.alpha_composite(Image.new("RGBA", layered.size, "white"), layered).convert("RGB")
        width, height = plain.size
        lines.append(f"{name} {width} {height} {keep(plain.tobytes())} {keep(white.tobytes())}")
    (OUT / "decode.txt").write_text("\n".join(lines) + "\n")


def lumas() -> None:
    colours = np.random.default_rng(11).integers(0, 256, (1, 512, 3)).astype(np.uint8)
    colours[0, :3] = [(0, 0, 0), (255, 255, 255), (1, 1, 1)]
    grey = np.asarray(Image.fromarray(colours).convert("L"))
    (OUT / "luma.bin").write_bytes(colours.tobytes() + grey.tobytes())


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    resizes()
    decodes()
    lumas()
    (OUT / "expected.bin").write_bytes(expected)
    print(sum(path.stat().st_size for path in OUT.iterdir()), "bytes in", OUT)
