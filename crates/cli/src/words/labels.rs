//! Names of figures and stages, and remarks that are no errors.

use super::Entry;

pub(super) const LABELS: &[Entry] = &[
    ("error", ["error", "error", "erreur", "Fehler", "エラー", "错误"]),
    ("note", ["note", "nota", "remarque", "Hinweis", "注意", "提示"]),
    (
        "note-control-characters",
        [
            "{count} control characters were left out of the question",
            "se quitaron {count} caracteres de control de la pregunta",
            "{count} caractères de contrôle ont été retirés de la question",
            "{count} Steuerzeichen wurden aus der Frage entfernt",
            "質問から制御文字 {count} 個を取り除きました",
            "已从问题中去除 {count} 个控制字符",
        ],
    ),
    (
        "note-length",
        [
            "the answer was cut at {tokens} tokens",
            "la respuesta se cortó a los {tokens} tokens",
            "la réponse a été coupée à {tokens} jetons",
            "die Antwort wurde nach {tokens} Token abgeschnitten",
            "答えは {tokens} トークンで打ち切られました",
            "回答在 {tokens} 个词元处截断",
        ],
    ),
    (
        "note-deadline",
        [
            "the deadline cut the answer short",
            "el plazo cortó la respuesta",
            "le délai a coupé la réponse",
            "die Frist hat die Antwort abgeschnitten",
            "時間切れで答えが途中までになりました",
            "回答因超时而截断",
        ],
    ),
    ("stage-load", ["loading", "cargando", "chargement", "lädt", "読み込み中", "加载中"]),
    ("stage-encode", ["looking", "mirando", "observation", "betrachtet", "画像を見ています", "查看中"]),
    ("stage-read", ["reading", "leyendo", "lecture", "liest", "文字を読んでいます", "读取中"]),
    ("stage-prefill", ["thinking", "pensando", "réflexion", "überlegt", "考えています", "思考中"]),
    ("stage-other", ["working", "trabajando", "en cours", "arbeitet", "処理中", "处理中"]),
    (
        "stat-load",
        [
            "load model",
            "carga del modelo",
            "chargement du modèle",
            "Modell laden",
            "モデル読み込み",
            "加载模型",
        ],
    ),
    (
        "stat-decode-image",
        [
            "decode image",
            "descodificar imagen",
            "décodage de l'image",
            "Bild dekodieren",
            "画像の復号",
            "解码图像",
        ],
    ),
    (
        "stat-encode",
        [
            "encode image",
            "codificar imagen",
            "encodage de l'image",
            "Bild kodieren",
            "画像の符号化",
            "编码图像",
        ],
    ),
    (
        "stat-first-token",
        ["first token", "primer token", "premier jeton", "erstes Token", "最初のトークン", "首个词元"],
    ),
    (
        "stat-total",
        ["whole answer", "respuesta completa", "réponse entière", "ganze Antwort", "答え全体", "完整回答"],
    ),
    ("stat-tokens", ["tokens", "tokens", "jetons", "Token", "トークン", "词元"]),
    (
        "stat-speed",
        [
            "tokens per second",
            "tokens por segundo",
            "jetons par seconde",
            "Token je Sekunde",
            "毎秒トークン",
            "每秒词元",
        ],
    ),
    (
        "stat-memory",
        ["peak memory", "memoria máxima", "mémoire maximale", "Speicherspitze", "最大メモリ", "峰值内存"],
    ),
    ("info-version", ["version", "versión", "version", "Version", "版", "版本"]),
    (
        "info-isa",
        [
            "instruction sets",
            "juegos de instrucciones",
            "jeux d'instructions",
            "Befehlssätze",
            "命令セット",
            "指令集",
        ],
    ),
    (
        "info-kernels",
        ["kernels", "núcleos de cálculo", "noyaux de calcul", "Rechenkerne", "計算カーネル", "计算内核"],
    ),
    ("info-threads", ["threads", "hilos", "fils", "Threads", "スレッド", "线程"]),
    ("info-model", ["model", "modelo", "modèle", "Modell", "モデル", "模型"]),
    (
        "info-no-model",
        [
            "none embedded",
            "ninguno incorporado",
            "aucun intégré",
            "keines eingebaut",
            "内蔵なし",
            "无内置模型",
        ],
    ),
    ("info-precision", ["precision", "precisión", "précision", "Genauigkeit", "精度", "精度"]),
    ("info-weights", ["weights", "pesos", "poids", "Gewichte", "重み", "权重"]),
    ("info-context", ["context", "contexto", "contexte", "Kontext", "文脈長", "上下文"]),
    ("eval-row", ["row", "fila", "ligne", "Zeile", "項目", "行"]),
    ("eval-count", ["images", "imágenes", "images", "Bilder", "画像", "图像"]),
    ("eval-difference", ["difference", "diferencia", "différence", "Unterschied", "差", "差值"]),
    ("test-passed", ["agrees", "coincide", "concorde", "stimmt", "一致", "一致"]),
    ("test-drift", ["DRIFT", "DESVÍO", "ÉCART", "ABWEICHUNG", "ずれ", "偏差"]),
    (
        "test-simd",
        [
            "{isa} in {precision} against scalar",
            "{isa} en {precision} frente a escalar",
            "{isa} en {precision} contre scalaire",
            "{isa} in {precision} gegen skalar",
            "{precision} の {isa} と scalar",
            "{precision} 的 {isa} 对比 scalar",
        ],
    ),
    (
        "test-precision",
        [
            "{precision} against f32",
            "{precision} frente a f32",
            "{precision} contre f32",
            "{precision} gegen f32",
            "{precision} と f32",
            "{precision} 对比 f32",
        ],
    ),
    (
        "test-measure",
        [
            "difference {difference}, divergence {divergence}, same answers {same}",
            "diferencia {difference}, divergencia {divergence}, respuestas iguales {same}",
            "écart {difference}, divergence {divergence}, réponses identiques {same}",
            "Differenz {difference}, Divergenz {divergence}, gleiche Antworten {same}",
            "差 {difference}、ダイバージェンス {divergence}、同じ答え {same}",
            "差 {difference}，散度 {divergence}，相同回答 {same}",
        ],
    ),
];
