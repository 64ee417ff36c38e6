// The page's words in six languages, and what an error is called in each.

const TEXTS = {
  en: {
    name: "English",
    skip: "Skip to the question", tagline: "Sees a picture and answers, in this tab. Nothing leaves it.",
    language: "Language", theme: "Light or dark", picture: "Picture", answers: "Questions and answers",
    dropHere: "Drop a picture here", orPaste: "or click to choose one, or paste with Ctrl+V",
    choose: "Choose a picture", camera: "Camera", cameraOff: "Stop the camera", showFinds: "Show what it found", samples: "Sample pictures",
    suggestions: "Suggested questions", question: "Question", placeholder: "Ask about the picture…", ask: "Ask", stop: "Stop",
    firstToken: "First word", total: "Whole answer", speed: "Tokens a second", memory: "Memory",
    otherModels: "Models", modelUrl: "Folder of a model (config.json, tokenizer.json, model.safetensors)", load: "Load",
    modelFiles: "The same files from this machine", embedded: "Embedded model", kept: "Kept on this machine for the next visit:",
    nothingKept: "nothing", delete: "Delete", noTurns: "Choose a picture, then ask what is on it.",
    downloading: "Fetching the model: {done} of {total}", preparing: "Preparing the model…", ready: "{name} is ready, {size}, loaded in {time}",
    live: "Live", frames: "{rate} a second", unchanged: "unchanged, answered from memory", found: "Things: {things}. Lines of print: {lines}.",
    stopped: "stopped", machine: "{module}, {threads}", oneThread: "1 thread", threads: "{n} threads",
    describe: "Describe it", read: "Read the text", what: "What is this?", count: "How many things are there?", left: "What is on the left?",
    nothingRead: "There is no text to read.",
    errors: {
      "image-unknown-format": "This is not a picture that can be read.", "image-read": "This picture cannot be read.",
      "image-truncated": "This picture is cut off.", "image-broken": "This picture is damaged.",
      "image-too-many-pixels": "This picture has too many pixels.", "image-too-many-bytes": "This picture’s file is too large.",
      "question-empty": "Write a question first.", "question-too-long": "This question is too long.",
      download: "The model could not be fetched.", checksum: "The model arrived damaged. Try again.",
      "model-bundle": "This is not a model that can be used.", "model-read": "A file of the model is missing.",
      "model-config": "The model’s configuration cannot be used.", "model-unknown": "This kind of model is not known.",
      "model-weights": "The model’s weights cannot be used.", "model-tokenizer": "The model’s tokenizer cannot be used.",
      memory: "There is not enough memory.", "no-simd": "This browser is too old: it has no WebAssembly SIMD.",
      camera: "The camera cannot be used.", "no-image": "Choose a picture first.", fault: "Something went wrong.",
    },
  },
  es: {
    name: "Español",
    skip: "Ir a la pregunta", tagline: "Mira una imagen y responde, en esta pestaña. Nada sale de ella.",
    language: "Idioma", theme: "Claro u oscuro", picture: "Imagen", answers: "Preguntas y respuestas",
    dropHere: "Suelta aquí una imagen", orPaste: "o haz clic para elegirla, o pégala con Ctrl+V",
    choose: "Elegir una imagen", camera: "Cámara", cameraOff: "Apagar la cámara", showFinds: "Mostrar lo encontrado", samples: "Imágenes de ejemplo",
    suggestions: "Preguntas sugeridas", question: "Pregunta", placeholder: "Pregunta sobre la imagen…", ask: "Preguntar", stop: "Parar",
    firstToken: "Primera palabra", total: "Respuesta entera", speed: "Tokens por segundo", memory: "Memoria",
    otherModels: "Modelos", modelUrl: "Carpeta de un modelo (config.json, tokenizer.json, model.safetensors)", load: "Cargar",
    modelFiles: "Los mismos archivos de este equipo", embedded: "Modelo incluido", kept: "Guardado en este equipo para la próxima visita:",
    nothingKept: "nada", delete: "Borrar", noTurns: "Elige una imagen y pregunta qué hay en ella.",
    downloading: "Descargando el modelo: {done} de {total}", preparing: "Preparando el modelo…", ready: "{name} está listo, {size}, cargado en {time}",
    live: "En vivo", frames: "{rate} por segundo", unchanged: "sin cambios, respondido de memoria", found: "Cosas: {things}. Líneas de texto: {lines}.",
    stopped: "detenido", machine: "{module}, {threads}", oneThread: "1 hilo", threads: "{n} hilos",
    describe: "Describe la imagen", read: "Lee el texto", what: "¿Qué es esto?", count: "¿Cuántas cosas hay?", left: "¿Qué hay a la izquierda?",
    nothingRead: "No hay texto que leer.",
    errors: {
      "image-unknown-format": "Esto no es una imagen que se pueda leer.", "image-read": "No se puede leer esta imagen.",
      "image-truncated": "Esta imagen está cortada.", "image-broken": "Esta imagen está dañada.",
      "image-too-many-pixels": "Esta imagen tiene demasiados píxeles.", "image-too-many-bytes": "El archivo de la imagen es demasiado grande.",
      "question-empty": "Escribe antes una pregunta.", "question-too-long": "La pregunta es demasiado larga.",
      download: "No se pudo descargar el modelo.", checksum: "El modelo llegó dañado. Inténtalo de nuevo.",
      "model-bundle": "Esto no es un modelo utilizable.", "model-read": "Falta un archivo del modelo.",
      "model-config": "La configuración del modelo no sirve.", "model-unknown": "No se conoce esta clase de modelo.",
      "model-weights": "Los pesos del modelo no sirven.", "model-tokenizer": "El tokenizador del modelo no sirve.",
      memory: "No hay memoria suficiente.", "no-simd": "Este navegador es demasiado antiguo: no tiene WebAssembly SIMD.",
      camera: "No se puede usar la cámara.", "no-image": "Elige antes una imagen.", fault: "Algo salió mal.",
    },
  },
  fr: {
    name: "Français",
    skip: "Aller à la question", tagline: "Regarde une image et répond, dans cet onglet. Rien n’en sort.",
    language: "Langue", theme: "Clair ou sombre", picture: "Image", answers: "Questions et réponses",
    dropHere: "Déposez une image ici", orPaste: "ou cliquez pour en choisir une, ou collez avec Ctrl+V",
    choose: "Choisir une image", camera: "Caméra", cameraOff: "Arrêter la caméra", showFinds: "Montrer ce qui est trouvé", samples: "Images d’exemple",
    suggestions: "Questions proposées", question: "Question", placeholder: "Posez une question sur l’image…", ask: "Demander", stop: "Arrêter",
    firstToken: "Premier mot", total: "Réponse entière", speed: "Jetons par seconde", memory: "Mémoire",
    otherModels: "Modèles", modelUrl: "Dossier d’un modèle (config.json, tokenizer.json, model.safetensors)", load: "Charger",
    modelFiles: "Les mêmes fichiers de cette machine", embedded: "Modèle intégré", kept: "Gardé sur cette machine pour la prochaine visite :",
    nothingKept: "rien", delete: "Supprimer", noTurns: "Choisissez une image, puis demandez ce qui s’y trouve.",
    downloading: "Téléchargement du modèle : {done} sur {total}", preparing: "Préparation du modèle…", ready: "{name} est prêt, {size}, chargé en {time}",
    live: "En direct", frames: "{rate} par seconde", unchanged: "inchangé, répondu de mémoire", found: "Objets : {things}. Lignes de texte : {lines}.",
    stopped: "arrêté", machine: "{module}, {threads}", oneThread: "1 fil", threads: "{n} fils",
    describe: "Décris l’image", read: "Lis le texte", what: "Qu’est-ce que c’est ?", count: "Combien y a-t-il de choses ?", left: "Qu’y a-t-il à gauche ?",
    nothingRead: "Il n’y a pas de texte à lire.",
    errors: {
      "image-unknown-format": "Ce n’est pas une image lisible.", "image-read": "Cette image ne peut pas être lue.",
      "image-truncated": "Cette image est tronquée.", "image-broken": "Cette image est abîmée.",
      "image-too-many-pixels": "Cette image a trop de pixels.", "image-too-many-bytes": "Le fichier de l’image est trop grand.",
      "question-empty": "Écrivez d’abord une question.", "question-too-long": "La question est trop longue.",
      download: "Le modèle n’a pas pu être téléchargé.", checksum: "Le modèle est arrivé abîmé. Réessayez.",
      "model-bundle": "Ce n’est pas un modèle utilisable.", "model-read": "Il manque un fichier du modèle.",
      "model-config": "La configuration du modèle est inutilisable.", "model-unknown": "Ce type de modèle n’est pas connu.",
      "model-weights": "Les poids du modèle sont inutilisables.", "model-tokenizer": "Le tokeniseur du modèle est inutilisable.",
      memory: "Il n’y a pas assez de mémoire.", "no-simd": "Ce navigateur est trop ancien : il n’a pas WebAssembly SIMD.",
      camera: "La caméra ne peut pas être utilisée.", "no-image": "Choisissez d’abord une image.", fault: "Quelque chose s’est mal passé.",
    },
  },
  de: {
    name: "Deutsch",
    skip: "Zur Frage springen", tagline: "Sieht ein Bild und antwortet, in diesem Tab. Nichts verlässt ihn.",
    language: "Sprache", theme: "Hell oder dunkel", picture: "Bild", answers: "Fragen und Antworten",
    dropHere: "Ein Bild hier ablegen", orPaste: "oder klicken, um eines zu wählen, oder mit Strg+V einfügen",
    choose: "Bild wählen", camera: "Kamera", cameraOff: "Kamera aus", showFinds: "Gefundenes zeigen", samples: "Beispielbilder",
    suggestions: "Vorschläge", question: "Frage", placeholder: "Frag etwas zum Bild …", ask: "Fragen", stop: "Anhalten",
    firstToken: "Erstes Wort", total: "Ganze Antwort", speed: "Token je Sekunde", memory: "Speicher",
    otherModels: "Modelle", modelUrl: "Ordner eines Modells (config.json, tokenizer.json, model.safetensors)", load: "Laden",
    modelFiles: "Dieselben Dateien von diesem Gerät", embedded: "Mitgeliefertes Modell", kept: "Auf diesem Gerät für das nächste Mal behalten:",
    nothingKept: "nichts", delete: "Löschen", noTurns: "Wähle ein Bild und frag, was darauf ist.",
    downloading: "Modell wird geladen: {done} von {total}", preparing: "Modell wird vorbereitet …", ready: "{name} ist bereit, {size}, geladen in {time}",
    live: "Live", frames: "{rate} je Sekunde", unchanged: "unverändert, aus dem Gedächtnis", found: "Dinge: {things}. Textzeilen: {lines}.",
    stopped: "angehalten", machine: "{module}, {threads}", oneThread: "1 Thread", threads: "{n} Threads",
    describe: "Beschreibe das Bild", read: "Lies den Text", what: "Was ist das?", count: "Wie viele Dinge sind da?", left: "Was ist links?",
    nothingRead: "Es gibt keinen Text zu lesen.",
    errors: {
      "image-unknown-format": "Das ist kein lesbares Bild.", "image-read": "Dieses Bild kann nicht gelesen werden.",
      "image-truncated": "Dieses Bild ist abgeschnitten.", "image-broken": "Dieses Bild ist beschädigt.",
      "image-too-many-pixels": "Dieses Bild hat zu viele Pixel.", "image-too-many-bytes": "Die Bilddatei ist zu groß.",
      "question-empty": "Schreib zuerst eine Frage.", "question-too-long": "Die Frage ist zu lang.",
      download: "Das Modell konnte nicht geladen werden.", checksum: "Das Modell kam beschädigt an. Versuch es noch einmal.",
      "model-bundle": "Das ist kein brauchbares Modell.", "model-read": "Eine Datei des Modells fehlt.",
      "model-config": "Die Konfiguration des Modells ist unbrauchbar.", "model-unknown": "Diese Art von Modell ist nicht bekannt.",
      "model-weights": "Die Gewichte des Modells sind unbrauchbar.", "model-tokenizer": "Der Tokenizer des Modells ist unbrauchbar.",
      memory: "Es gibt nicht genug Speicher.", "no-simd": "Dieser Browser ist zu alt: Ihm fehlt WebAssembly-SIMD.",
      camera: "Die Kamera kann nicht benutzt werden.", "no-image": "Wähle zuerst ein Bild.", fault: "Etwas ging schief.",
    },
  },
  ja: {
    name: "日本語",
    skip: "質問へ移動", tagline: "画像を見て答えます。すべてこのタブの中で、外には何も送りません。",
    language: "言語", theme: "明るい／暗い", picture: "画像", answers: "質問と答え",
    dropHere: "ここに画像をドロップ", orPaste: "クリックして選ぶか、Ctrl+V で貼り付け",
    choose: "画像を選ぶ", camera: "カメラ", cameraOff: "カメラを止める", showFinds: "見つけたものを表示", samples: "サンプル画像",
    suggestions: "質問の例", question: "質問", placeholder: "画像について質問…", ask: "質問する", stop: "止める",
    firstToken: "最初の語まで", total: "答え全体", speed: "トークン／秒", memory: "メモリ",
    otherModels: "モデル", modelUrl: "モデルのフォルダー（config.json, tokenizer.json, model.safetensors）", load: "読み込む",
    modelFiles: "この端末の同じファイル", embedded: "付属のモデル", kept: "次回のためにこの端末に保存：",
    nothingKept: "なし", delete: "削除", noTurns: "画像を選んで、何が写っているか聞いてください。",
    downloading: "モデルを取得中：{done} / {total}", preparing: "モデルを準備中…", ready: "{name} の準備完了、{size}、{time} で読み込み",
    live: "ライブ", frames: "毎秒 {rate}", unchanged: "変化なし、記憶から回答", found: "物：{things}　文字の行：{lines}",
    stopped: "停止", machine: "{module}、{threads}", oneThread: "1 スレッド", threads: "{n} スレッド",
    describe: "画像を説明して", read: "文字を読んで", what: "これは何ですか？", count: "物はいくつありますか？", left: "左に何がありますか？",
    nothingRead: "読める文字がありません。",
    errors: {
      "image-unknown-format": "読み取れる画像ではありません。", "image-read": "この画像は読み取れません。",
      "image-truncated": "この画像は途中で切れています。", "image-broken": "この画像は壊れています。",
      "image-too-many-pixels": "この画像は画素が多すぎます。", "image-too-many-bytes": "画像ファイルが大きすぎます。",
      "question-empty": "先に質問を書いてください。", "question-too-long": "質問が長すぎます。",
      download: "モデルを取得できませんでした。", checksum: "届いたモデルが壊れています。もう一度お試しください。",
      "model-bundle": "使えるモデルではありません。", "model-read": "モデルのファイルが足りません。",
      "model-config": "モデルの設定が使えません。", "model-unknown": "この種類のモデルには対応していません。",
      "model-weights": "モデルの重みが使えません。", "model-tokenizer": "モデルのトークナイザーが使えません。",
      memory: "メモリが足りません。", "no-simd": "このブラウザーは古く、WebAssembly SIMD がありません。",
      camera: "カメラを使えません。", "no-image": "先に画像を選んでください。", fault: "問題が起きました。",
    },
  },
  zh: {
    name: "中文",
    skip: "跳到问题", tagline: "看图回答，全在此标签页内完成，不向外发送任何内容。",
    language: "语言", theme: "浅色或深色", picture: "图片", answers: "问题与回答",
    dropHere: "把图片拖到这里", orPaste: "或点击选择，或按 Ctrl+V 粘贴",
    choose: "选择图片", camera: "摄像头", cameraOff: "关闭摄像头", showFinds: "显示找到的内容", samples: "示例图片",
    suggestions: "建议的问题", question: "问题", placeholder: "就图片提问…", ask: "提问", stop: "停止",
    firstToken: "首个词", total: "完整回答", speed: "每秒词元", memory: "内存",
    otherModels: "模型", modelUrl: "模型文件夹（config.json, tokenizer.json, model.safetensors）", load: "加载",
    modelFiles: "本机上的同样文件", embedded: "内置模型", kept: "保存在本机供下次使用：",
    nothingKept: "无", delete: "删除", noTurns: "选择一张图片，然后问问上面有什么。",
    downloading: "正在获取模型：{done} / {total}", preparing: "正在准备模型…", ready: "{name} 已就绪，{size}，用时 {time}",
    live: "实时", frames: "每秒 {rate}", unchanged: "画面未变，直接回答", found: "物体：{things}　文字行：{lines}",
    stopped: "已停止", machine: "{module}，{threads}", oneThread: "1 个线程", threads: "{n} 个线程",
    describe: "描述图片", read: "读出文字", what: "这是什么？", count: "有几样东西？", left: "左边是什么？",
    nothingRead: "没有可读的文字。",
    errors: {
      "image-unknown-format": "这不是可读取的图片。", "image-read": "无法读取这张图片。",
      "image-truncated": "这张图片不完整。", "image-broken": "这张图片已损坏。",
      "image-too-many-pixels": "这张图片像素太多。", "image-too-many-bytes": "图片文件太大。",
      "question-empty": "请先写一个问题。", "question-too-long": "问题太长。",
      download: "无法获取模型。", checksum: "收到的模型已损坏，请重试。",
      "model-bundle": "这不是可用的模型。", "model-read": "缺少模型文件。",
      "model-config": "模型配置不可用。", "model-unknown": "不认识这种模型。",
      "model-weights": "模型权重不可用。", "model-tokenizer": "模型分词器不可用。",
      memory: "内存不足。", "no-simd": "此浏览器太旧，没有 WebAssembly SIMD。",
      camera: "无法使用摄像头。", "no-image": "请先选择图片。", fault: "出了问题。",
    },
  },
};

export const LANGUAGES = Object.entries(TEXTS).map(([code, { name }]) => ({ code, name }));

let current = "en";

/** Takes the first of `wanted` that there is. */
export function choose(wanted) {
  current = wanted.map((tag) => tag?.split("-")[0]).find((code) => code in TEXTS) ?? "en";
  return current;
}

export const language = () => current;

/** A text with its gaps filled. */
export function say(key, values = {}) {
  return TEXTS[current][key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

/** What a `VlmError` is called. */
export function sayError({ code, message }) {
  const { errors } = TEXTS[current];
  return errors[code] ?? `${errors.fault} (${message})`;
}

/** Fills every element that names its text. */
export function fillPage() {
  document.documentElement.lang = current;
  const each = (attribute, set) => {
    for (const element of document.querySelectorAll(`[data-${attribute}]`)) set(element, say(element.dataset[attribute]));
  };
  each("text", (element, text) => (element.textContent = text));
  each("placeholder", (element, text) => (element.placeholder = text));
  each("label", (element, text) => element.setAttribute("aria-label", text));
  each("title", (element, text) => {
    element.title = text;
    element.setAttribute("aria-label", text);
  });
}
