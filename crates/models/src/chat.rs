//! Where a checkpoint keeps its chat template.

use serde::Deserialize;
use serde_json::Value;
use tiny_vlm_text::ChatTemplate;

use crate::{ModelError, Source};

/// What `chat_template.json` and `tokenizer_config.json` say of it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Said {
    chat_template: Option<Template>,
    bos_token: Value,
    eos_token: Value,
    pad_token: Value,
    unk_token: Value,
}

/// One template, or several by name.
#[derive(Deserialize)]
#[serde(untagged)]
enum Template {
    One(String),
    Several(Vec<Named>),
}

#[derive(Deserialize)]
struct Named {
    name: String,
    template: String,
}

impl Template {
    /// The one for conversations without tools.
    fn plain(self) -> Option<String> {
        match self {
            Self::One(template) => Some(template),
            Self::Several(named) => named.into_iter().find(|t| t.name == "default").map(|t| t.template),
        }
    }
}

/// The checkpoint's template: `chat_template.jinja`, or what `chat_template.json` or `tokenizer_config.json` holds; where
/// there is none, `published`, which is the family's.
pub(crate) fn chat_template(source: &Source, published: &str) -> Result<ChatTemplate, ModelError> {
    let config: Said = source.optional_json("tokenizer_config.json")?.unwrap_or_default();
    let names = [
        ("bos_token", &config.bos_token),
        ("eos_token", &config.eos_token),
        ("pad_token", &config.pad_token),
        ("unk_token", &config.unk_token),
    ];
    let tokens: Vec<(&'static str, &str)> =
        names.iter().filter_map(|&(name, token)| Some((name, spelled(token)?))).collect();
    let text = match source.optional("chat_template.jinja")? {
        Some(bytes) => Some(
            String::from_utf8(bytes.into_owned())
                .map_err(|_| ModelError::config("chat_template.jinja", "not UTF-8"))?,
        ),
        None => {
            source.optional_json::<Said>("chat_template.json")?.and_then(|said| said.chat_template?.plain())
        }
    };
    let text = text.or_else(|| config.chat_template?.plain());
    Ok(ChatTemplate::new(text.as_deref().unwrap_or(published), &tokens)?)
}

/// A token's text: a string, or an object that has it as its content.
fn spelled(token: &Value) -> Option<&str> {
    token.as_str().or_else(|| token.get("content")?.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tiny_vlm_text::Piece;

    fn written(source: Source) -> String {
        let template = chat_template(&source, "published").unwrap();
        match template.render(&[], false).unwrap().as_slice() {
            [Piece::Template(text)] => text.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn files_are_asked_in_order() {
        let none = || Source::folder("no/such/folder");
        assert_eq!(written(none()), "published");
        let config = br#"{"chat_template": "config{{ eos_token }}", "eos_token": {"content": "<e>"}}"#;
        let source = || none().with_file("tokenizer_config.json", config.as_slice());
        assert_eq!(written(source()), "config<e>");
        let several = br#"{"chat_template": [{"name": "tools", "template": "t"}, {"name": "default", "template": "d"}]}"#;
        assert_eq!(written(none().with_file("tokenizer_config.json", several.as_slice())), "d");
        let json = || source().with_file("chat_template.json", br#"{"chat_template": "json"}"#.as_slice());
        assert_eq!(written(json()), "json");
        assert_eq!(
            written(json().with_file("chat_template.jinja", b"jinja{{ bos_token }}".as_slice())),
            "jinja"
        );
    }

    #[test]
    fn broken_templates_are_errors() {
        let source =
            Source::folder("no/such/folder").with_file("chat_template.jinja", b"{% if %}".as_slice());
        assert_eq!(chat_template(&source, "").unwrap_err().code(), "model-tokenizer");
    }
}
