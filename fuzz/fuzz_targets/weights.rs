//! Any bytes as a safetensors file: what opens can be read to its end, and building a model from it ends in an answer.
#![no_main]
#![forbid(unsafe_code)]

use libfuzzer_sys::fuzz_target;
use tiny_vlm_quant::Precision;
use tiny_vlm_weights::{Dtype, Params, Weights};

fuzz_target!(|bytes: &[u8]| {
    let Ok(weights) = Weights::from_bytes(bytes.to_vec().into()) else { return };
    for precision in [Precision::F32, Precision::Int8] {
        let params = Params::new(&weights, precision).repacking(precision == Precision::F32);
        for name in weights.names() {
            let tensor = weights.get(name).expect("a name that it gave");
            // Of a packed matrix of zeros next to nothing is stored.
            if tensor.is_readable() {
                let mut values = vec![0.0; tensor.elements()];
                tensor.read_f32(&mut values);
            }
            // Each as what its shape allows, and as what it does not.
            match *tensor.shape() {
                [length] => drop(params.root().vector(name, length)),
                [rows, columns] => drop(params.root().matrix(name, rows, columns)),
                [out, channels, height, width] if matches!(tensor.dtype(), Dtype::Packed(_)) => {
                    drop(params.root().kernel(name, out, [height, width], channels));
                }
                _ => drop(params.root().matrix(name, 3, 4)),
            }
        }
        if let Err(error) = params.finish() {
            assert!(!error.to_string().is_empty());
        }
    }
});
