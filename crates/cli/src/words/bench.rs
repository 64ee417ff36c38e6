//! What `bench` and its help say.

use super::Entry;

pub(super) const BENCH: &[Entry] = &[
    (
        "bench",
        [
            "time a model: loading, looking, the first token, reading and writing; and its memory",
            "cronometra un modelo: carga, mirada, primer token, lectura y escritura; y su memoria",
            "chronomètre un modèle : chargement, regard, premier jeton, lecture, écriture ; et sa mémoire",
            "misst ein Modell: Laden, Betrachten, erstes Token, Lesen und Schreiben; und den Speicher",
            "モデルの速さを測る: 読み込み、画像の符号化、最初のトークン、読み書き。メモリも",
            "测量模型：加载、查看、首个词元、读入与写出的速度，以及内存",
        ],
    ),
    (
        "option-bench-image",
        [
            "image to look at (else one of 512 × 512 is made up)",
            "imagen que mirar (si no, se inventa una de 512 × 512)",
            "image à regarder (sinon une de 512 × 512 est inventée)",
            "Bild, das betrachtet wird (sonst ein erdachtes von 512 × 512)",
            "見る画像 (なければ 512 × 512 のものを作る)",
            "要查看的图像（缺省生成一幅 512 × 512 的）",
        ],
    ),
    (
        "option-bench-question",
        [
            "question whose first token is waited for",
            "pregunta cuyo primer token se espera",
            "question dont on attend le premier jeton",
            "Frage, auf deren erstes Token gewartet wird",
            "最初のトークンを待つ質問",
            "等待其首个词元的问题",
        ],
    ),
    (
        "option-runs",
        [
            "samples of each figure after one that does not count (5); fewer where they take long",
            "muestras de cada cifra, tras una que no cuenta (5); menos si tardan mucho",
            "échantillons par chiffre, après un qui ne compte pas (5) ; moins s'ils durent",
            "Messungen je Zahl nach einer, die nicht zählt (5); weniger, wo sie lange dauern",
            "各項目の測定回数。数えない 1 回の後 (5)。時間がかかれば少なくなる",
            "每项的测量次数，另有一次不计（5）；耗时长则减少",
        ],
    ),
    ("bench-median", ["median", "mediana", "médiane", "Median", "中央値", "中位数"]),
    ("bench-least", ["least", "mínimo", "minimum", "kleinster", "最小", "最小"]),
    ("bench-most", ["most", "máximo", "maximum", "größter", "最大", "最大"]),
    ("bench-image", ["one image", "una imagen", "une image", "ein Bild", "画像 1 枚", "一幅图像"]),
    (
        "bench-prefill",
        [
            "read {tokens} tokens",
            "leer {tokens} tokens",
            "lire {tokens} jetons",
            "{tokens} Token lesen",
            "{tokens} トークンを読む",
            "读入 {tokens} 个词元",
        ],
    ),
    (
        "bench-decode",
        [
            "write {tokens} tokens after {before}",
            "escribir {tokens} tokens tras {before}",
            "écrire {tokens} jetons après {before}",
            "{tokens} Token nach {before} schreiben",
            "{before} の後に {tokens} トークンを書く",
            "在 {before} 个之后写出 {tokens} 个词元",
        ],
    ),
];
