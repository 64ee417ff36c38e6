//! Tokenizers out of GGUF metadata: lists of tokens, of their kinds and of merges, and a name for how text is split.

use std::collections::BTreeMap;

use tiny_vlm_text::{AddedToken, Pattern, TokenLists, Tokenizer};
use tiny_vlm_weights::GgufValue;

use super::wrong;
use crate::ModelError;

type Metadata = BTreeMap<String, GgufValue>;

/// Kinds of tokens: of templates, of users, and without a use.
const CONTROL: u64 = 3;
const USER_DEFINED: u64 = 4;
const UNUSED: u64 = 5;

/// Makes the tokenizer that the metadata list.
pub(super) fn read(metadata: &Metadata) -> Result<Tokenizer, ModelError> {
    let text = |name: &str| metadata.get(&format!("tokenizer.ggml.{name}")).and_then(GgufValue::as_str);
    let model = text("model").ok_or_else(|| wrong("tokenizer.ggml.model is missing".to_owned()))?;
    if model != "gpt2" {
        return Err(wrong(format!("a tokenizer of kind {model:?} is not supported (supported: gpt2)")));
    }
    let split = text("pre").unwrap_or("gpt-2");
    let (pattern, digits, nfc, ignore_merges) = match split {
        "gpt-2" | "default" => (Pattern::Gpt2, false, false, false),
        "smollm" => (Pattern::Gpt2, true, false, false),
        "qwen2" => (Pattern::Qwen2, false, true, false),
        "llama-bpe" | "llama3" => (Pattern::Llama3, false, false, true),
        // As the model's own tokenizer.json has it; llama.cpp splits it as GPT-2's, so that long numbers become others.
        "granite-docling" => (Pattern::Llama3, false, false, false),
        other => {
            let other: String = other.chars().take(40).collect();
            let known = "gpt-2, smollm, qwen2, llama-bpe, granite-docling";
            return Err(wrong(format!("text split as {other:?} is not supported (supported: {known})")));
        }
    };
    let tokens = strings(metadata, "tokenizer.ggml.tokens")?;
    let kinds = metadata.get("tokenizer.ggml.token_type").and_then(GgufValue::as_array).unwrap_or(&[]);
    let (mut vocabulary, mut added) = (Vec::new(), Vec::new());
    for (id, token) in (0..).zip(tokens) {
        match kinds.get(id as usize).and_then(GgufValue::as_u64) {
            Some(CONTROL) => added.push(AddedToken::special(id, token)),
            Some(USER_DEFINED) => {
                let mut token = AddedToken::special(id, token);
                token.special = false;
                added.push(token);
            }
            Some(UNUSED) => {}
            _ => vocabulary.push((token.to_owned(), id)),
        }
    }
    let merges = strings(metadata, "tokenizer.ggml.merges")?.map(str::to_owned).collect();
    let lists = TokenLists { vocabulary, merges, added, pattern, digits, nfc, ignore_merges };
    Ok(Tokenizer::from_lists(lists)?)
}

/// The id of a token.
pub(super) fn id_of(metadata: &Metadata, token: &str) -> Option<usize> {
    let mut tokens = metadata.get("tokenizer.ggml.tokens")?.as_array()?.iter();
    tokens.position(|value| value.as_str() == Some(token))
}

fn strings<'a>(
    metadata: &'a Metadata,
    name: &str,
) -> Result<impl Iterator<Item = &'a str> + use<'a>, ModelError> {
    let values = metadata.get(name).and_then(GgufValue::as_array);
    let values = values.ok_or_else(|| wrong(format!("{name} is missing, or no list")))?;
    if values.iter().any(|value| value.as_str().is_none()) {
        return Err(wrong(format!("{name} is no list of strings")));
    }
    Ok(values.iter().filter_map(GgufValue::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(split: &str, tokens: &[(&str, u64)], merges: &[&str]) -> Metadata {
        let text = |text: &str| GgufValue::String(text.to_owned());
        let list = |values: Vec<GgufValue>| GgufValue::Array(values);
        let entries = [
            ("model", text("gpt2")),
            ("pre", text(split)),
            ("tokens", list(tokens.iter().map(|(token, _)| text(token)).collect())),
            ("token_type", list(tokens.iter().map(|(_, kind)| GgufValue::Unsigned(*kind)).collect())),
            ("merges", list(merges.iter().map(|merge| text(merge)).collect())),
        ];
        entries.into_iter().map(|(name, value)| (format!("tokenizer.ggml.{name}"), value)).collect()
    }

    const TOKENS: [(&str, u64); 7] =
        [("a", 1), ("b", 1), ("ab", 1), ("1", 1), ("<end>", 3), ("<pad>", 5), ("<x>", 4)];

    #[test]
    fn lists_make_a_tokenizer() {
        let lists = metadata("smollm", &TOKENS, &["a b"]);
        let tokenizer = read(&lists).unwrap();
        assert_eq!(tokenizer.encode_with_specials("ab11<end><x>"), [2, 3, 3, 4, 6]);
        assert_eq!(tokenizer.decode(&[2, 4, 6]), "ab<x>");
        assert_eq!((id_of(&lists, "<x>"), id_of(&lists, "<y>")), (Some(6), None));
    }

    #[test]
    fn what_is_not_supported_is_named() {
        let error = |metadata: &Metadata| read(metadata).unwrap_err().to_string();
        assert!(error(&metadata("klingon", &TOKENS, &[])).contains("klingon"));
        assert!(error(&metadata("gpt-2", &TOKENS, &["a c"])).contains("merge 0"));
        assert!(error(&Metadata::new()).contains("tokenizer.ggml.model"));
        let mut other = metadata("gpt-2", &TOKENS, &[]);
        other.insert("tokenizer.ggml.tokens".to_owned(), GgufValue::Array(vec![GgufValue::Bool(true)]));
        assert!(error(&other).contains("list of strings"));
        other.insert("tokenizer.ggml.model".to_owned(), GgufValue::String("llama".to_owned()));
        assert!(error(&other).contains("\"llama\""));
    }

    /// The tests that llama.cpp has for a vocabulary, where `TINY_VLM_GGUF_VOCABULARY` names one: texts in `.inp` beside
    /// it, ids in `.out`.
    #[test]
    fn published_vocabularies_give_the_ids_that_are_published_with_them() {
        let Ok(path) = std::env::var("TINY_VLM_GGUF_VOCABULARY") else { return };
        let weights = tiny_vlm_weights::Weights::open(&path).unwrap();
        let tokenizer = read(weights.gguf()).unwrap();
        let texts = std::fs::read_to_string(format!("{path}.inp")).unwrap();
        let ids = std::fs::read_to_string(format!("{path}.out")).unwrap();
        let texts: Vec<&str> = texts.split("\n__ggml_vocab_test__\n").collect();
        let mut compared = 0;
        for (text, ids) in texts.iter().zip(ids.lines()) {
            let ids: Vec<u32> = ids.split_whitespace().map(|id| id.parse().unwrap()).collect();
            assert_eq!(tokenizer.encode(text), ids, "{text:?}");
            compared += 1;
        }
        assert!(compared > 40, "{compared} texts");
    }
}
