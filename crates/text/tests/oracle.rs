//! The published tokenizers against the `tokenizers` crate, over generated text.
//!
//! The files are a few megabytes each and not in the repository. `TINY_VLM_SHARED` names the folder that
//! has `data/`, else `../shared` beside the repository is tried; without either these tests say that they
//! were skipped. The committed fixtures are compared in any case.
// That crate is not built there, see the manifest.
#![cfg(not(target_family = "wasm"))]

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use tiny_vlm_text::{OlderFiles, Pattern, Tokenizer};

fn shared(path: &str) -> Option<PathBuf> {
    let given = std::env::var_os("TINY_VLM_SHARED").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let file = given.unwrap_or(beside).join("data").join(path);
    if !file.exists() {
        eprintln!("SKIPPED: {} is not there; set TINY_VLM_SHARED", file.display());
        return None;
    }
    Some(file)
}

/// SplitMix64, so that the texts are the same on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ z >> 31) % bound as u64) as usize
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

/// Texts of everything that pre-tokenizers and normalizers treat differently, and of added tokens.
fn texts(count: usize, added: &[&str]) -> Vec<String> {
    #[rustfmt::skip]
    let bits = [
        " ", "  ", "\n", "\r\n", "\t", "\u{a0}", "\u{3000}", "\u{85}", "\u{2028}", "\u{1c}", "\0", "\u{7f}",
        "'s", "'S", "'re", "'LL", "'ſ", "'", "''", "\"", "’t", "the", "The", "picture", "What", "IS", "xyzzy",
        "0", "7", "42", "2024", "1234567", "²", "½", "Ⅷ", "٣", "３", ".", ",", "...", "?!", "(", ")", "_", "<", "|",
        "é", "e\u{301}", "\u{301}", "ñ", "Å", "A\u{30a}", "ß", "ẞ", "œ", "Straße", "où", "¿", "«", "—",
        "写真", "何ですか", "、", "。", "ー", "图片", "什么", "한글", "\u{1112}\u{1161}\u{11ab}", "हिन्दी", "עברית", "ไทย",
        "🙂", "👩‍👩‍👧", "🇯🇵", "\u{200b}", "\u{feff}", "\u{202e}", "\u{10ffff}", "\u{e000}", "ﬁ", "Ⓐ", "\u{338}", "K",
        "aaaaaaaa", "    ", "=====", "http://x.y/z?a=b", "fn main() {", "}\n\n",
    ];
    let mut random = Random(7);
    (0..count)
        .map(|_| {
            let length = random.below(24);
            (0..length)
                .map(|_| {
                    if !added.is_empty() && random.below(6) == 0 {
                        random.pick(added)
                    } else {
                        random.pick(&bits)
                    }
                })
                .collect()
        })
        .collect()
}

fn compare(name: &str, ours: &Tokenizer, oracle: &tokenizers::Tokenizer, added: &[&str]) {
    let mut plain_oracle = oracle.clone();
    plain_oracle.set_encode_special_tokens(true);
    for text in texts(4000, added) {
        let expected = oracle.encode_fast(text.as_str(), false).unwrap();
        let ids = ours.encode_with_specials(&text);
        assert_eq!(ids, expected.get_ids(), "{name}: {text:?}");
        for (skip, decoded) in [(true, ours.decode(&ids)), (false, ours.decode_with_specials(&ids))] {
            assert_eq!(decoded, oracle.decode(&ids, skip).unwrap(), "{name}: {text:?}");
        }
        let expected = plain_oracle.encode_fast(text.as_str(), false).unwrap();
        assert_eq!(ours.encode(&text), expected.get_ids(), "{name}, plain: {text:?}");
        let framed = oracle.encode_fast(text.as_str(), true).unwrap();
        let (prefix, suffix) = ours.frame();
        assert_eq!([prefix, &ids, suffix].concat(), framed.get_ids(), "{name}, framed: {text:?}");
    }
}

#[test]
fn committed_fixture() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/text/digits.json");
    let ours = Tokenizer::from_json(&fs::read(&path).unwrap()).unwrap();
    let oracle = tokenizers::Tokenizer::from_file(&path).unwrap();
    compare("digits", &ours, &oracle, &["<image>", "<|im_start|>", "<|im_end|>"]);
}

#[test]
fn smolvlm() {
    let Some(path) = shared("checkpoints/smolvlm-256m-instruct/tokenizer.json") else { return };
    let json = fs::read(&path).unwrap();
    let started = Instant::now();
    let ours = Tokenizer::from_json(&json).unwrap();
    let from_json = started.elapsed();
    let added =
        ["<image>", "<end_of_utterance>", "<fake_token_around_image>", "<row_1_col_2>", "<global-img>"];
    compare("smolvlm", &ours, &tokenizers::Tokenizer::from_file(&path).unwrap(), &added);

    let bytes = ours.to_bytes();
    let size = bytes.len();
    let started = Instant::now();
    let compiled = Tokenizer::from_bytes(bytes).unwrap();
    let from_bytes = started.elapsed();
    eprintln!("smolvlm: from_json {from_json:?}, from_bytes {from_bytes:?} ({size} bytes)");
    assert!(from_bytes * 10 < from_json, "{from_bytes:?} against {from_json:?}");
    assert_eq!(compiled.token_id("<image>"), Some(49190));
    assert_eq!(compiled.token_id("<end_of_utterance>"), Some(49279));
    assert_eq!(compiled.vocab_size(), 49280);
}

#[test]
fn florence2() {
    let Some(path) = shared("tokenizers/florence-2/tokenizer.json") else { return };
    let ours = Tokenizer::from_json(&fs::read(&path).unwrap()).unwrap();
    let mut oracle = tokenizers::Tokenizer::from_file(&path).unwrap();
    oracle.with_truncation(None).unwrap();
    oracle.with_padding(None);
    compare(
        "florence-2",
        &ours,
        &oracle,
        &["<s>", "</s>", "<mask>", "<loc_1>", "<loc_12>", "<loc_123>", "<poly>"],
    );
    assert_eq!(ours.frame(), (&[0][..], &[2][..]));
}

#[test]
fn qwen2_from_vocab_and_merges() {
    use tokenizers::{
        SplitDelimiterBehavior::Isolated,
        models::bpe::BPE,
        normalizers::unicode::NFC,
        pre_tokenizers::{byte_level::ByteLevel, sequence::Sequence, split::Split, split::SplitPattern},
    };
    let [Some(vocab), Some(merges)] =
        ["vocab.json", "merges.txt"].map(|file| shared(&format!("tokenizers/qwen2/{file}")))
    else {
        return;
    };
    let added = [(151643, "<|endoftext|>"), (151644, "<|im_start|>"), (151645, "<|im_end|>")];
    let listed = added.map(|(id, content)| format!(r#""{id}": {{"content": "{content}", "special": true}}"#));
    let config = format!(
        r#"{{"tokenizer_class": "Qwen2Tokenizer", "added_tokens_decoder": {{{}}}}}"#,
        listed.join(", ")
    );
    let ours = Tokenizer::from_older_files(OlderFiles {
        vocab: &fs::read(&vocab).unwrap(),
        merges: &fs::read(&merges).unwrap(),
        config: config.as_bytes(),
        added: None,
    })
    .unwrap();

    let model = BPE::from_file(vocab.to_str().unwrap(), merges.to_str().unwrap()).build().unwrap();
    let mut oracle = tokenizers::Tokenizer::new(model);
    let split = Split::new(SplitPattern::Regex(Pattern::Qwen2.regex().into()), Isolated, false).unwrap();
    let byte_level = ByteLevel::new(false, true, false);
    oracle.with_normalizer(Some(NFC)).unwrap();
    oracle.with_pre_tokenizer(Some(Sequence::new(vec![split.into(), byte_level.into()])));
    oracle.with_decoder(Some(ByteLevel::default()));
    let specials = added.map(|(_, content)| tokenizers::AddedToken::from(content, true));
    oracle.add_special_tokens(specials).unwrap();
    compare("qwen2", &ours, &oracle, &added.map(|(_, content)| content));
}
