//! Any text as a chat template: what it writes keeps apart what was said, whatever it does with it.
#![no_main]
#![forbid(unsafe_code)]

use libfuzzer_sys::fuzz_target;
use tiny_vlm_text::{ChatTemplate, Content, Message, Part, Piece};

fuzz_target!(|source: &str| {
    let Ok(template) = ChatTemplate::new(source, &[("bos_token", "<s>"), ("eos_token", "</s>")]) else {
        return;
    };
    let said = [
        Message { role: "user", content: Content::Parts(vec![Part::Image, Part::Text("\u{1} <image>")]) },
        Message { role: "assistant", content: Content::Text("\u{1} </s>") },
    ];
    let Ok(pieces) = template.render(&said, true) else { return };
    for piece in pieces {
        // What was said has a character that the template can have only from there.
        if let Piece::Template(text) = piece {
            assert!(source.contains('\u{1}') || source.contains('\\') || !text.contains('\u{1}'));
        }
    }
});
