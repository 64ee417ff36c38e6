"""What print says: words in four Latin languages, numbers, prices, dates, addresses, random strings.

One word in ten, chosen by a hash of the word, is never trained on.
"""

import hashlib
import random
import string
from functools import cache
from pathlib import Path

LISTS = {"en": "american-english", "es": "spanish", "fr": "french", "de": "ngerman"}
ACCENTED = "àáâãäåæçèéêëìíîïñòóôõöøùúûüýÿœßÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜÝŸŒ"
MARKS = "¡¿«»“”‘’„‚‹›–—…•·€£¥¢©®™°±×÷½¼¾²³§¶ªº"
CHARACTERS = "".join(chr(c) for c in range(32, 127)) + ACCENTED + MARKS


def held_out(word):
    return hashlib.sha256(word.lower().encode()).digest()[0] < 26


@cache
def words(language, held):
    lines = Path("/usr/share/dict", LISTS[language]).read_text(encoding="utf-8").split("\n")
    keep = [w for w in lines if 1 < len(w) <= 14 and "'" not in w and all(c in CHARACTERS for c in w)]
    return [w for w in keep if held_out(w) == held]


def word(rng, held):
    language = rng.choice(("en", "en", "es", "fr", "de"))
    w = rng.choice(words(language, held))
    style = rng.random()
    if style < 0.2:
        return w.capitalize()
    if style < 0.35:
        return w.upper() if "ß" not in w else w
    return w


def number(rng):
    kind = rng.randrange(9)
    if kind == 0:
        return str(rng.randrange(10 ** rng.randint(1, 7)))
    if kind == 1:
        amount = f"{rng.randrange(10 ** rng.randint(1, 4))}{rng.choice('.,')}{rng.randrange(100):02}"
        return rng.choice((f"${amount}", f"{amount} €", f"€{amount}", f"£{amount}", f"¥{amount}", amount, f"{amount}€"))
    if kind == 2:
        d, m, y = rng.randint(1, 31), rng.randint(1, 12), rng.randint(1950, 2035)
        return rng.choice((f"{d}/{m}/{y}", f"{d:02}.{m:02}.{y}", f"{y}-{m:02}-{d:02}", f"{d:02}/{m:02}/{y % 100:02}"))
    if kind == 3:
        return f"{rng.randrange(24):02}:{rng.randrange(60):02}" + rng.choice(("", "", " h", " am", " PM", " Uhr"))
    if kind == 4:
        return f"{rng.randrange(1, 100)}{rng.choice(('%', ' %', '°', ' km', ' kg', ' cm', ' m²', ' ml', 'x', '+', '°C', ' h'))}"
    if kind == 5:
        return f"+{rng.randint(1, 99)} {rng.randrange(100, 999)} {rng.randrange(1000, 9999)} {rng.randrange(10, 99)}"
    if kind == 6:
        return f"{rng.randrange(1, 1000)}{rng.choice((',', '.', ' '))}{rng.randrange(1000):03}"
    if kind == 7:
        return rng.choice(("No. ", "#", "Nr. ", "n° ", "v", "A", "Route ", "B-", "§ ")) + str(rng.randrange(1, 500))
    return f"{rng.randrange(1, 30)}{rng.choice('-–/×')}{rng.randrange(1, 60)}"


def scramble(rng):
    pool = rng.choice((string.ascii_letters + string.digits, string.ascii_uppercase + string.digits, CHARACTERS.replace(" ", ""),
                       ACCENTED, string.ascii_letters + ACCENTED + MARKS, string.punctuation + string.digits + MARKS))
    return "".join(rng.choice(pool) for _ in range(rng.randint(1, 10)))


def sentence(rng, count, held):
    parts = [word(rng, held) if rng.random() < 0.88 else number(rng) for _ in range(count)]
    for i in range(len(parts) - 1):
        roll = rng.random()
        if roll < 0.10:
            parts[i] += rng.choice((",", ",", ";", ":", " –", " —", "…"))
        elif roll < 0.15:
            parts[i] += rng.choice((".", "!", "?"))
            parts[i + 1] = parts[i + 1][:1].upper() + parts[i + 1][1:]
        elif roll < 0.20:
            a, b = rng.choice(('()', '""', '“”', '«»', '‘’', '„“', '[]', "''", '¿?', '¡!'))
            parts[i] = a + parts[i] + b
        elif roll < 0.24:
            parts[i] += rng.choice("-'’/&@_+=") + word(rng, held)
    if rng.random() < 0.5:
        parts[0] = parts[0][:1].upper() + parts[0][1:]
    if rng.random() < 0.3:
        parts[-1] += rng.choice(".!?…:")
    return " ".join(parts)


def line(rng, held=False):
    """One line of print, 1 to some 60 characters."""
    kind = rng.random()
    if kind < 0.18:
        text = word(rng, held)
    elif kind < 0.32:
        text = number(rng)
    elif kind < 0.42:
        text = scramble(rng)
    elif kind < 0.95:
        text = sentence(rng, rng.randint(2, 4), held)
    else:
        text = sentence(rng, rng.randint(5, 8), held)
    return text.upper() if rng.random() < 0.12 and "ß" not in text else text


if __name__ == "__main__":
    rng = random.Random(0)
    print(len(CHARACTERS), [(k, len(words(k, False)), len(words(k, True))) for k in LISTS])
    for _ in range(20):
        print(line(rng))
