"""Trains the small tokenizers of fixtures/text and writes what the reference library makes of awkward texts.

    pip install tokenizers==0.22.1
    python crates/text/tests/golden/make.py
"""

import json
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

FOLDER = Path(__file__).parents[4] / "fixtures" / "text"
QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

TEXTS = [
    "",
    " ",
    "   \n\n \t x",
    "What is in the picture?",
    "It's 2024: they'RE here, we'Ll see 'ſo",
    "  two  spaces   and three ",
    "line\r\nline\r\n\r\n  indented\n",
    "prices: 3.50, 12.99, 104.00 — ½ ² Ⅷ ٣٤ ３",
    "¿Cuántos pájaros hay? «Siete», mañana.",
    "Où êtes-vous ? L'été à côté d’une clôture",
    "größere Straßen, Übermaß, ẞ",
    "看板には「毎日9時から17時まで営業」と書いてあります。",
    "图片里有什么？一只小狗在阳光下睡觉。",
    "cafe\u0301 vs caf\u00e9, A\u030a, \u1112\u1161\u11ab, \ufb01",
    "emoji 🙂🙂🏽 👩‍👩‍👧 flags 🇯🇵",
    "\u00a0no-break\u3000ideographic\u2028separator\u0085next",
    "zero\u200bwidth \ufeffbom \u202ertl",
    "nul \u0000 and \u0001\u001b[0m controls \u007f",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "thethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethe",
    "snake_case camelCase <html attr='x'>&amp;</html> a+b=c // comment",
    "<|im_start|>User: <image>what?<|im_end|>\n",
    "<|im_start|><|im_start|> <|im_end|",
    "say <tool>  x </tool> and word<tool>word",
    "left   <strip>   right<strip>",
    "alone alonely alone, _alone",
    "é\u0301<caf\u00e9> <cafe\u0301>",
]


def main():
    digits = Tokenizer(models.BPE())
    digits.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    digits.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1536,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>"],
        show_progress=False,
    )
    digits.train([str(FOLDER / "corpus.txt")], trainer)

    split = Tokenizer.from_str(digits.to_str())
    split.normalizer = normalizers.NFC()
    split.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    split.add_special_tokens([AddedToken("<strip>", lstrip=True, rstrip=True, normalized=False)])
    split.add_tokens([AddedToken("<tool>", rstrip=True), AddedToken("alone", single_word=True), AddedToken("<caf\u00e9>")])
    begin, end = split.token_to_id("<|im_start|>"), split.token_to_id("<|im_end|>")
    split.post_processor = processors.TemplateProcessing(
        single="<|im_start|> $A <|im_end|>", special_tokens=[("<|im_start|>", begin), ("<|im_end|>", end)]
    )

    golden = {}
    for name, tokenizer in (("digits", digits), ("split", split)):
        tokenizer.save(str(FOLDER / f"{name}.json"), pretty=False)
        plain = Tokenizer.from_str(tokenizer.to_str())
        # Without its added tokens a tokenizer reads everything as plain text.
        parts = json.loads(plain.to_str())
        parts["added_tokens"] = []
        plain = Tokenizer.from_str(json.dumps(parts))
        golden[name] = [
            {
                "text": text,
                "plain": plain.encode(text, add_special_tokens=False).ids,
                "with_specials": tokenizer.encode(text, add_special_tokens=False).ids,
                "framed": tokenizer.encode(text).ids,
                "decoded": tokenizer.decode(tokenizer.encode(text).ids),
            }
            for text in TEXTS
        ]
    lines = [
        json.dumps(name) + ": [\n" + ",\n".join(json.dumps(case, ensure_ascii=True) for case in cases) + "\n]"
        for name, cases in golden.items()
    ]
    (FOLDER / "golden.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
