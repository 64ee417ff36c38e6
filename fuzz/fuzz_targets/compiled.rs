//! A compiled tokenizer that lies: any bytes as one, and any bytes as changes to a sound one, which a checksum-free
//! form of many counts and offsets has to stand.
#![no_main]
#![forbid(unsafe_code)]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tiny_vlm_text::Tokenizer;

static SOUND: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let json = include_bytes!("../../fixtures/nano/tokenizer.json");
    Tokenizer::from_json(json).expect("a fixture").to_bytes()
});

fuzz_target!(|bytes: &[u8]| {
    attempt(bytes.to_vec());
    // A change is a place, its low byte first, and a value.
    let mut changed = SOUND.clone();
    for &[low, high, value] in bytes.as_chunks().0 {
        let at = usize::from(u16::from_le_bytes([low, high])) % changed.len();
        changed[at] = value;
    }
    attempt(changed);
});

fn attempt(bytes: Vec<u8>) {
    let Ok(tokenizer) = Tokenizer::from_bytes(bytes) else { return };
    let text = " Two  thirds of 1234 pages, don't you <answer> know? n\u{303} \u{1f427}";
    let ids = [tokenizer.encode(text), tokenizer.encode_with_specials(text)].concat();
    assert!(ids.iter().all(|&id| (id as usize) < tokenizer.vocab_size()));
    let mut stream = tokenizer.decode_stream();
    for id in ids.iter().copied().chain(0..tokenizer.vocab_size() as u32).chain([u32::MAX]) {
        stream.push(id);
        tokenizer.token_bytes(id);
        tokenizer.is_special(id);
    }
    stream.finish();
    tokenizer.decode_with_specials(&ids);
    tokenizer.token_id("the");
    tokenizer.frame();
}
