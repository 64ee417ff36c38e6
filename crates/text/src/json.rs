//! Reading `tokenizer.json`, and `vocab.json` with `merges.txt`, as Hugging Face's `tokenizers` writes them.

use std::{collections::HashMap, fmt};

use serde::{Deserialize, Deserializer, de};
use serde_json::Value;

use crate::{added::AddedToken, compile::Parts, error::TextError, pattern::Pattern, split::Step};

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
    normalizer: Option<Value>,
    pre_tokenizer: Option<Value>,
    post_processor: Option<Value>,
    decoder: Option<Value>,
    model: Model,
}

#[derive(Deserialize)]
struct Model {
    #[serde(rename = "type")]
    kind: Option<String>,
    dropout: Option<f32>,
    unk_token: Option<String>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
    #[serde(default)]
    fuse_unk: bool,
    #[serde(default)]
    byte_fallback: bool,
    #[serde(default)]
    ignore_merges: bool,
    // Other kinds of model write these otherwise; they are named in the error only if the shape allows.
    #[serde(default)]
    vocab: Vocabulary,
    #[serde(default)]
    merges: Vec<MergePair>,
}

/// A vocabulary, or whatever else a model other than BPE keeps under that name.
#[derive(Default)]
struct Vocabulary(HashMap<String, u32>);

impl<'de> Deserialize<'de> for Vocabulary {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Vocabulary;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a map from token to number")
            }
            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Vocabulary, A::Error> {
                let mut tokens = HashMap::new();
                while let Some((token, id)) = map.next_entry()? {
                    tokens.insert(token, id);
                }
                Ok(Vocabulary(tokens))
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Vocabulary, A::Error> {
                while seq.next_element::<de::IgnoredAny>()?.is_some() {}
                Ok(Vocabulary::default())
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// `"a b"` in older files, `["a", "b"]` in newer ones.
struct MergePair(String, String);

impl<'de> Deserialize<'de> for MergePair {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = MergePair;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a pair of tokens")
            }
            fn visit_str<E: de::Error>(self, line: &str) -> Result<MergePair, E> {
                pair(line).ok_or_else(|| E::invalid_value(de::Unexpected::Str(line), &self))
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<MergePair, A::Error> {
                let mut next =
                    |index| seq.next_element()?.ok_or_else(|| de::Error::invalid_length(index, &self));
                let pair = MergePair(next(0)?, next(1)?);
                match seq.next_element::<de::IgnoredAny>()? {
                    None => Ok(pair),
                    Some(_) => Err(de::Error::invalid_length(3, &self)),
                }
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

fn pair(line: &str) -> Option<MergePair> {
    let (left, right) = line.split_once(' ')?;
    (!right.contains(' ')).then(|| MergePair(left.to_owned(), right.to_owned()))
}

/// What `tokenizer.json` describes.
pub(crate) fn read_tokenizer(bytes: &[u8]) -> Result<Parts, TextError> {
    let file: File =
        serde_json::from_slice(bytes).map_err(|source| TextError::Json { file: "tokenizer.json", source })?;
    let model = file.model;
    let kind = model.kind.as_deref().unwrap_or("BPE");
    if kind != "BPE" {
        return Err(TextError::unsupported("tokenizer model", kind, "BPE"));
    }
    let affix = [model.continuing_subword_prefix, model.end_of_word_suffix].into_iter().flatten();
    if let Some(affix) = affix.into_iter().find(|affix| !affix.is_empty()) {
        return Err(TextError::unsupported("word affix", affix, "none"));
    }
    if model.byte_fallback {
        return Err(TextError::unsupported("tokenizer model", "BPE with byte_fallback", "byte-level BPE"));
    }
    if model.dropout.is_some_and(|dropout| dropout != 0.0) {
        return Err(TextError::unsupported("tokenizer model", "BPE with dropout", "byte-level BPE"));
    }
    let mut parts = Parts {
        vocabulary: model.vocab.0,
        merges: model.merges.into_iter().map(|MergePair(left, right)| (left, right)).collect(),
        added: file.added_tokens,
        unknown: model.unk_token,
        fuse_unknown: model.fuse_unk,
        ignore_merges: model.ignore_merges,
        ..Parts::default()
    };
    read_normalizer(file.normalizer.as_ref(), &mut parts)?;
    let byte_level = read_pre_tokenizer(file.pre_tokenizer.as_ref(), &mut parts.steps)?;
    if !byte_level {
        let found = file.pre_tokenizer.as_ref().map_or("none", kind_of);
        return Err(TextError::unsupported("pre-tokenizer", found, "one that ends in ByteLevel"));
    }
    if let Some(decoder) = &file.decoder
        && kind_of(decoder) != "ByteLevel"
    {
        return Err(TextError::unsupported("decoder", kind_of(decoder), "ByteLevel"));
    }
    read_post_processor(file.post_processor.as_ref(), &mut parts)?;
    Ok(parts)
}

/// What `vocab.json` and `merges.txt` describe, with a pattern that neither states.
pub(crate) fn read_vocabulary_and_merges(
    vocabulary: &[u8],
    merges: &str,
    pattern: Pattern,
) -> Result<Parts, TextError> {
    let vocabulary = serde_json::from_slice(vocabulary)
        .map_err(|source| TextError::Json { file: "vocab.json", source })?;
    let lines = merges.lines().filter(|line| !line.is_empty() && !line.starts_with("#version"));
    let merges = lines.enumerate().map(|(index, line)| match pair(line) {
        Some(MergePair(left, right)) => Ok((left, right)),
        None => Err(TextError::Merge { index, reason: format!("`{line}` is not a pair of tokens") }),
    });
    let merges = merges.collect::<Result<_, _>>()?;
    Ok(Parts { vocabulary, merges, steps: vec![Step::Words(pattern)], ..Parts::default() })
}

fn kind_of(value: &Value) -> &str {
    value.get("type").and_then(Value::as_str).unwrap_or("of no type")
}

fn flag(value: &Value, name: &str, default: bool) -> bool {
    value.get(name).and_then(Value::as_bool).unwrap_or(default)
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn read_normalizer(value: Option<&Value>, parts: &mut Parts) -> Result<(), TextError> {
    let Some(value) = value else { return Ok(()) };
    match kind_of(value) {
        "NFC" => parts.nfc = true,
        "Sequence" => {
            for step in list(value, "normalizers") {
                read_normalizer(Some(step), parts)?;
            }
        }
        other => return Err(TextError::unsupported("normalizer", other, "none, NFC")),
    }
    Ok(())
}

/// Appends the steps; true when the last of them turned text to bytes.
fn read_pre_tokenizer(value: Option<&Value>, steps: &mut Vec<Step>) -> Result<bool, TextError> {
    let Some(value) = value else { return Ok(false) };
    match kind_of(value) {
        "Sequence" => {
            let mut byte_level = false;
            for step in list(value, "pretokenizers") {
                if byte_level {
                    return Err(TextError::unsupported(
                        "pre-tokenizer after ByteLevel",
                        kind_of(step),
                        "none",
                    ));
                }
                byte_level = read_pre_tokenizer(Some(step), steps)?;
            }
            Ok(byte_level)
        }
        "ByteLevel" => {
            if flag(value, "add_prefix_space", true) {
                steps.push(Step::PrefixSpace);
            }
            if flag(value, "use_regex", true) {
                steps.push(Step::Words(Pattern::Gpt2));
            }
            Ok(true)
        }
        "Digits" => {
            steps.push(Step::Digits { individual: flag(value, "individual_digits", false) });
            Ok(false)
        }
        "Split" => {
            steps.push(Step::Words(split_pattern(value)?));
            Ok(false)
        }
        other => Err(TextError::unsupported("pre-tokenizer", other, "ByteLevel, Digits, Split, Sequence")),
    }
}

fn split_pattern(value: &Value) -> Result<Pattern, TextError> {
    let regex = value.pointer("/pattern/Regex").and_then(Value::as_str);
    let Some(regex) = regex else {
        let found = value.get("pattern").map_or("none".into(), Value::to_string);
        return Err(TextError::unsupported("split pattern", found, "a regular expression"));
    };
    let pattern = Pattern::from_regex(regex)
        .ok_or_else(|| TextError::unsupported("split pattern", regex, "those of GPT-2, Qwen2 and Llama 3"))?;
    // The patterns match every character, so that keeping the matches and removing what is between them
    // are the same.
    let behavior = value.get("behavior").and_then(Value::as_str).unwrap_or("none");
    match (behavior, flag(value, "invert", false)) {
        ("Isolated", _) | ("Removed", true) => Ok(pattern),
        _ => Err(TextError::unsupported("split behavior", behavior, "Isolated, Removed with invert")),
    }
}

fn read_post_processor(value: Option<&Value>, parts: &mut Parts) -> Result<(), TextError> {
    let Some(value) = value else { return Ok(()) };
    let malformed = || TextError::Vocabulary(format!("the post-processor {} is malformed", kind_of(value)));
    let as_id = |id: &Value| id.as_u64().and_then(|id| u32::try_from(id).ok()).ok_or_else(malformed);
    match kind_of(value) {
        // Moves offsets, not tokens.
        "ByteLevel" => {}
        "RobertaProcessing" | "BertProcessing" => {
            let id = |name: &str| as_id(value.pointer(name).unwrap_or(&Value::Null));
            parts.prefix.insert(0, id("/cls/1")?);
            parts.suffix.push(id("/sep/1")?);
        }
        "TemplateProcessing" => {
            let (mut prefix, mut suffix, mut seen) = (Vec::new(), Vec::new(), false);
            for piece in list(value, "single") {
                if piece.get("Sequence").is_some() {
                    seen = true;
                    continue;
                }
                let name = piece.pointer("/SpecialToken/id").and_then(Value::as_str).ok_or_else(malformed)?;
                let token = value.get("special_tokens").and_then(|tokens| tokens.get(name));
                let side = if seen { &mut suffix } else { &mut prefix };
                for id in list(token.ok_or_else(malformed)?, "ids") {
                    side.push(as_id(id)?);
                }
            }
            parts.prefix.splice(0..0, prefix);
            parts.suffix.append(&mut suffix);
        }
        "Sequence" => {
            for step in list(value, "processors") {
                read_post_processor(Some(step), parts)?;
            }
        }
        other => {
            let supported = "ByteLevel, RobertaProcessing, BertProcessing, TemplateProcessing, Sequence";
            return Err(TextError::unsupported("post-processor", other, supported));
        }
    }
    Ok(())
}
