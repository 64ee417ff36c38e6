"""Questions and the answers that are true of a scene, in six languages.

The forms and the answer words are those of questions.json; paraphrases.json rewords the questions, and of
every kind three rewordings a language are kept for evaluation. courtesies.json has what people say around a question.
"""

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from . import things

HERE = Path(__file__).parent.parent
WORDS = things.QUESTIONS
PARAPHRASES = json.loads((HERE / "paraphrases.json").read_text())
COURTESIES = json.loads((HERE / "courtesies.json").read_text())
LANGUAGES = ("en", "es", "fr", "de", "ja", "zh")
KINDS = {"what": 45, "what_is_at": 14, "where": 12, "how_many_of": 20, "how_many": 4, "colour": 8, "is_there": 14, "read": 3}
READ = "<read>"
MIDDLE = 0.17  # within this of the middle, as a fraction of the picture, a thing is in the middle


@dataclass
class Fact:
    """A thing as questions see it."""

    label: int
    colour: int
    cx: float
    cy: float


class Dialogue(NamedTuple):
    """A question, its answer, the class it asks about (or None) and for every fact whether the answer rests on it (or None)."""

    question: str
    answer: str
    asked: int | None = None
    rests_on: list | None = None


def facts(scene):
    h, w = scene.image.shape[:2]
    return [Fact(t.label, t.colour, (t.box[0] + t.box[2]) / 2 / w, (t.box[1] + t.box[3]) / 2 / h) for t in scene.things]


def name(label, language):
    if label < len(things.CONCEPTS):
        return things.CONCEPTS[label][language]
    return WORDS["shapes"][things.SHAPES[label - len(things.CONCEPTS)]][language]


def synonyms(label, language):
    return things.CONCEPTS[label].get("synonyms", {}).get(language, []) if label < len(things.CONCEPTS) else []


def place(fact):
    dx, dy = fact.cx - 0.5, fact.cy - 0.5
    if max(abs(dx), abs(dy)) < MIDDLE:
        return "middle"
    if abs(dx) >= abs(dy):
        return "left" if dx < 0 else "right"
    return "top" if dy < 0 else "bottom"


def clear(fact):
    """Whether a person would agree with `place`."""
    dx, dy = abs(fact.cx - 0.5), abs(fact.cy - 0.5)
    return abs(max(dx, dy) - MIDDLE) > 0.035 and (max(dx, dy) < MIDDLE or abs(dx - dy) > 0.06)


def caption(found, has_print, language):
    known = [f for f in sorted(found, key=lambda f: (f.cx, f.cy)) if f.label != things.UNTAUGHT]
    if len(found) == 1 and known:
        parts = [name(known[0].label, language)]
    else:
        parts = [f"{name(f.label, language)} ({WORDS['places'][place(f)][language]})" for f in known]
    if has_print:
        parts.append(f'"{READ}"')
    return ", ".join(parts) if parts else WORDS["unknown"][language]


def forms(kind, language, split):
    """Question templates for training ("train": forms and most paraphrases) or evaluation ("forms", "eval")."""
    own, reworded = WORDS[kind][language], PARAPHRASES[kind][language]
    return {"train": own * 3 + reworded["train"], "forms": own, "eval": reworded["eval"]}[split]


def ask(rng, kind, found, has_print, language, split="train"):
    """A dialogue of a kind, or None where this scene leaves it open."""
    known = [f for f in found if f.label != things.UNTAUGHT]
    count = lambda label: sum(f.label == label for f in found)
    unknown = WORDS["unknown"][language]
    template = rng.choice(forms(kind, language, split))

    def about(label, answer):
        other = synonyms(label, language)
        word = rng.choice(other) if other and split == "train" and rng.random() < 0.12 else name(label, language)
        return Dialogue(template.replace("{name}", word).replace("{shape}", word), answer, label, [f.label == label for f in found])

    def absent(pool):
        label = rng.choice(pool)
        while count(label):
            label = rng.choice(pool)
        return label

    everything = range(things.UNTAUGHT)
    if kind == "what":
        return Dialogue(template, caption(found, has_print, language))
    if kind == "read":
        return Dialogue(template, READ if has_print else unknown)
    if kind == "how_many":
        return Dialogue(template, str(len(found)), None, [True] * len(found))
    if kind == "what_is_at":
        where = rng.choice([place(f) for f in found] if found and rng.random() < 0.85 else list(WORDS["places"]))
        there = sorted((f for f in known if place(f) == where), key=lambda f: (f.cx, f.cy))
        if any(not clear(f) for f in found) or len(there) > 2:
            return None
        answer = ", ".join(name(f.label, language) for f in there) or unknown
        return Dialogue(template.replace("{place}", WORDS["places"][where][language]), answer, None, [place(f) == where for f in found])
    if kind == "where":
        if known and rng.random() < 0.9:
            f = rng.choice(known)
            if count(f.label) > 1 or not clear(f):
                return None
            return about(f.label, WORDS["places"][place(f)][language])
        return about(absent(everything), unknown)
    if kind == "how_many_of":
        label = rng.choice(known).label if known and rng.random() < 0.88 else absent(everything)
        if split == "train" and count(label) == 1 and rng.random() < 0.6:
            return None  # most things stand alone: one would be the answer to nearly every question
        return about(label, str(count(label)))
    if kind == "colour":
        shapes = [f for f in known if f.colour >= 0 and count(f.label) == 1]
        if not shapes:
            if rng.random() < 0.9 or any(f.colour >= 0 for f in known):
                return None
            return about(len(things.CONCEPTS) + rng.randrange(len(things.SHAPES)), unknown)
        f = rng.choice(shapes)
        return about(f.label, WORDS["colours"][things.COLOURS[f.colour]][language])
    if known and rng.random() < 0.5:
        return about(rng.choice(known).label, WORDS["yes"][language])
    return about(absent(everything), WORDS["no"][language])


def typed(rng, question, language):
    """A question as polite or hurried people type it."""
    if rng.random() < 0.15:
        question = rng.choice(COURTESIES[language]["before"]) + question
    if rng.random() < 0.1:
        question += rng.choice(COURTESIES[language]["after"])
    roll = rng.random()
    if roll < 0.12:
        question = question.lower()
    elif roll < 0.15:
        question = question.upper()
    if rng.random() < 0.15:
        question = question.rstrip("?？ .。")
    return question


def any_question(rng, found, has_print, split="train"):
    """A random dialogue."""
    while True:
        language = rng.choice(LANGUAGES)
        kind = rng.choices(list(KINDS), KINDS.values())[0]
        dialogue = ask(rng, kind, found, has_print, language, split)
        if dialogue:
            return dialogue._replace(question=typed(rng, dialogue.question, language))
