//! Any bytes as GGUF: what opens can be read to its end; and as the decoder's and the tower's file of a model, which
//! loads or says why not.
#![no_main]
#![forbid(unsafe_code)]

use libfuzzer_sys::fuzz_target;
use tiny_vlm_models::{ModelOptions, Source, load};
use tiny_vlm_weights::Weights;

fuzz_target!(|input: (Vec<u8>, Vec<u8>)| {
    let (text, vision) = input;
    for bytes in [&text, &vision] {
        // What every such file begins with is found once and for all.
        let bytes = [b"GGUF\x03\0\0\0", &bytes[..]].concat();
        let Ok(weights) = Weights::from_bytes(bytes.into()) else { continue };
        for name in weights.names() {
            let tensor = weights.get(name).expect("a name that it gave");
            tensor.read_f32(&mut vec![0.0; tensor.elements()]);
        }
    }
    let whole = |bytes: &[u8]| [b"GGUF\x03\0\0\0", bytes].concat();
    match Source::gguf(whole(&text), whole(&vision)) {
        Ok(source) => {
            let _ = (source.open_tokenizer(), source.optional("preprocessor_config.json"), source.weights());
            if let Err(error) = load(&source, &ModelOptions::default()) {
                assert!(!error.to_string().is_empty());
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
