//! Any bytes as a `tokenizer.json`, or as `vocab.json`, `merges.txt` and `tokenizer_config.json` with zeros between: what
//! is read says the same after it was compiled and opened again.
#![no_main]
#![forbid(unsafe_code)]

use libfuzzer_sys::fuzz_target;
use tiny_vlm_text::{OlderFiles, TextError, Tokenizer};

const TEXT: &str = " Two  thirds of 1234 pages,\n\tdon't you <end> know? n\u{303} \u{1f427} 北极熊";

fuzz_target!(|bytes: &[u8]| {
    let Ok(tokenizer) = read(bytes) else { return };
    let again = Tokenizer::from_bytes(tokenizer.to_bytes()).expect("what it wrote itself");
    for ids in [tokenizer.encode(TEXT), tokenizer.encode_with_specials(TEXT)] {
        assert!(ids.iter().all(|&id| (id as usize) < tokenizer.vocab_size()));
        assert_eq!(tokenizer.decode_with_specials(&ids), again.decode_with_specials(&ids));
    }
    assert_eq!(tokenizer.encode(TEXT), again.encode(TEXT));
});

fn read(bytes: &[u8]) -> Result<Tokenizer, TextError> {
    let mut parts = bytes.split(|&byte| byte == 0);
    match [parts.next(), parts.next(), parts.next()] {
        [Some(vocab), Some(merges), Some(config)] => {
            Tokenizer::from_older_files(OlderFiles { vocab, merges, config, added: parts.next() })
        }
        _ => Tokenizer::from_json(bytes),
    }
}
