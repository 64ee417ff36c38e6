"""The tokenizer: byte-level BPE over the language of questions and answers. `python -m nano.tokenizer` writes tokenizer.json."""

import random
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from . import questions, things

PATH = Path(__file__).parent.parent / "tokenizer.json"
SIZE = 1536
SPECIAL = ["<pad>", "<q>", "<a>", "<end>", questions.READ]


def load():
    return Tokenizer.from_file(str(PATH))


def corpus():
    rng = random.Random(0)
    for _ in range(12):  # names are what most answers are made of
        for label in range(things.UNTAUGHT):
            for language in questions.LANGUAGES:
                word = questions.name(label, language)
                yield word
                yield f"x {word} ("
    for _ in range(12000):
        found = [questions.Fact(rng.randrange(things.CLASSES), -1, rng.random(), rng.random()) for _ in range(rng.randint(0, 5))]
        for f in found:
            if len(things.CONCEPTS) <= f.label < things.UNTAUGHT:
                f.colour = rng.randrange(len(things.COLOURS))
        dialogue = questions.any_question(rng, found, rng.random() < 0.2)
        yield dialogue.question
        yield dialogue.answer


def main():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=SIZE, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(corpus(), trainer)
    tokenizer.save(str(PATH))
    lengths = [len(tokenizer.encode(text).ids) for text in corpus()]
    print(tokenizer.get_vocab_size(), "tokens; mean length", sum(lengths) / len(lengths))


if __name__ == "__main__":
    main()
