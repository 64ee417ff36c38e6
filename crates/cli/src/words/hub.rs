//! What went wrong with a model of the hub, by the stable code of the error.

use super::Entry;

pub(super) const HUB: &[Entry] = &[
    (
        "model-not-pulled",
        [
            "{name} is no folder here, nor was it fetched from the hub: run tiny-vlm pull {pull}",
            "{name} no es una carpeta de aquí ni se descargó del hub: ejecute tiny-vlm pull {pull}",
            "{name} n'est pas un dossier d'ici et n'a pas été téléchargé du hub : lancez tiny-vlm pull {pull}",
            "{name} ist hier kein Ordner und wurde nicht vom Hub geholt: tiny-vlm pull {pull} holt es",
            "{name} というフォルダーはなく、ハブからも取得していません: tiny-vlm pull {pull} を実行してください",
            "{name} 不是此处的文件夹，也未从 hub 下载：请运行 tiny-vlm pull {pull}",
        ],
    ),
    (
        "no-hub",
        [
            "this build fetches no models: it lacks the feature hub",
            "esta compilación no descarga modelos: le falta la característica hub",
            "cette version ne télécharge pas de modèles : il lui manque la fonction hub",
            "dieser Bau holt keine Modelle: ihm fehlt das Merkmal hub",
            "このビルドはモデルを取得できません: 機能 hub がありません",
            "此版本不能下载模型：缺少 hub 功能",
        ],
    ),
    (
        "hub-no-cache",
        [
            "no place for models: set HF_HOME",
            "no hay lugar para los modelos: defina HF_HOME",
            "aucun endroit pour les modèles : définissez HF_HOME",
            "kein Ort für Modelle: HF_HOME setzen",
            "モデルの置き場所がありません: HF_HOME を設定してください",
            "没有存放模型的位置：请设置 HF_HOME",
        ],
    ),
    (
        "hub-unreachable",
        [
            "cannot reach {endpoint}: {reason}",
            "no se puede llegar a {endpoint}: {reason}",
            "impossible d'atteindre {endpoint} : {reason}",
            "{endpoint} ist nicht erreichbar: {reason}",
            "{endpoint} に接続できません: {reason}",
            "无法连接 {endpoint}：{reason}",
        ],
    ),
    (
        "hub-answer",
        [
            "the answer of {endpoint} cannot be used: {reason}",
            "la respuesta de {endpoint} no es utilizable: {reason}",
            "la réponse de {endpoint} est inutilisable : {reason}",
            "die Antwort von {endpoint} ist nicht verwendbar: {reason}",
            "{endpoint} の応答を使えません: {reason}",
            "{endpoint} 的响应无法使用：{reason}",
        ],
    ),
    (
        "hub-denied",
        [
            "the hub does not give {name} to just anyone ({status}): check the name, or set HF_TOKEN to the token of someone who accepted its terms",
            "el hub no entrega {name} a cualquiera ({status}): revise el nombre o ponga en HF_TOKEN el token de quien haya aceptado sus condiciones",
            "le hub ne donne pas {name} à tout le monde ({status}) : vérifiez le nom, ou mettez dans HF_TOKEN le jeton de quelqu'un qui en a accepté les conditions",
            "der Hub gibt {name} nicht jedem ({status}): Namen prüfen, oder in HF_TOKEN das Token von jemandem setzen, der den Bedingungen zugestimmt hat",
            "ハブは {name} を誰にでも渡すわけではありません ({status}): 名前を確かめるか、利用条件に同意した人のトークンを HF_TOKEN に設定してください",
            "hub 不向所有人提供 {name}（{status}）：请检查名称，或将 HF_TOKEN 设为已同意其条款者的令牌",
        ],
    ),
    (
        "hub-missing",
        [
            "the hub has no {name}",
            "el hub no tiene {name}",
            "le hub n'a pas {name}",
            "der Hub hat kein {name}",
            "ハブに {name} はありません",
            "hub 上没有 {name}",
        ],
    ),
    (
        "hub-status",
        [
            "the hub answers {status} to {name}",
            "el hub responde {status} a {name}",
            "le hub répond {status} à {name}",
            "der Hub antwortet {status} auf {name}",
            "ハブは {name} に {status} と応答しました",
            "hub 对 {name} 的响应为 {status}",
        ],
    ),
    (
        "hub-no-weights",
        [
            "{name} has no model.safetensors",
            "{name} no tiene model.safetensors",
            "{name} n'a pas de model.safetensors",
            "{name} hat kein model.safetensors",
            "{name} に model.safetensors がありません",
            "{name} 没有 model.safetensors",
        ],
    ),
    (
        "hub-cut",
        [
            "{name} ended after {bytes} of {size} bytes: {reason}; what came is kept, run the command again",
            "{name} terminó tras {bytes} de {size} bytes: {reason}; lo recibido se conserva, repita la orden",
            "{name} s'est arrêté après {bytes} octets sur {size} : {reason} ; ce qui est arrivé est gardé, relancez la commande",
            "{name} endete nach {bytes} von {size} Bytes: {reason}; was kam, bleibt, den Befehl bitte wiederholen",
            "{name} は {size} バイト中 {bytes} バイトで終わりました: {reason}。届いた分は残るので、もう一度実行してください",
            "{name} 在 {size} 字节中的 {bytes} 字节处中断：{reason}；已收到的部分会保留，请重新运行命令",
        ],
    ),
    (
        "hub-checksum",
        [
            "{name} does not add up to its checksum and was thrown away: run the command again",
            "{name} no coincide con su suma de comprobación y se descartó: repita la orden",
            "{name} ne correspond pas à sa somme de contrôle et a été jeté : relancez la commande",
            "{name} passt nicht zu seiner Prüfsumme und wurde verworfen: den Befehl bitte wiederholen",
            "{name} はチェックサムと合わないため破棄しました: もう一度実行してください",
            "{name} 与校验和不符，已丢弃：请重新运行命令",
        ],
    ),
    (
        "hub-busy",
        [
            "{name} is being fetched by another program",
            "otro programa está descargando {name}",
            "un autre programme télécharge {name}",
            "{name} wird gerade von einem anderen Programm geholt",
            "{name} は別のプログラムが取得中です",
            "另一个程序正在下载 {name}",
        ],
    ),
    (
        "hub-write",
        [
            "cannot write {path}: {reason}",
            "no se puede escribir {path}: {reason}",
            "impossible d'écrire {path} : {reason}",
            "{path} kann nicht geschrieben werden: {reason}",
            "{path} に書き込めません: {reason}",
            "无法写入 {path}：{reason}",
        ],
    ),
    (
        "hub-processor",
        [
            "this processor lacks {name}, which encrypted connections need here: fetch the model elsewhere and name its folder with --model",
            "este procesador carece de {name}, necesario para conexiones cifradas: descargue el modelo en otra parte e indique su carpeta con --model",
            "ce processeur n'a pas {name}, nécessaire ici aux connexions chiffrées : téléchargez le modèle ailleurs et indiquez son dossier avec --model",
            "diesem Prozessor fehlt {name}, das verschlüsselte Verbindungen hier brauchen: das Modell anderswo holen und seinen Ordner mit --model angeben",
            "このプロセッサーには暗号化通信に必要な {name} がありません: 別の場所でモデルを取得し、--model でフォルダーを指定してください",
            "此处理器缺少加密连接所需的 {name}：请在别处下载模型，并用 --model 指定其文件夹",
        ],
    ),
];
