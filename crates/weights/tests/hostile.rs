//! Files whose bytes were changed at random: never a panic, and what opens can be read to its end.

use safetensors::tensor::TensorView;
use safetensors::{Dtype, serialize};
use tiny_vlm_quant::Precision;
use tiny_vlm_weights::{Params, Weights};

/// Marsaglia's xorshift: the same files on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n.max(1) as u64) as usize
    }
}

fn sample() -> Vec<u8> {
    let data = [0u8; 64];
    let view =
        |dtype, shape: &[usize], bytes| TensorView::new(dtype, shape.to_vec(), &data[..bytes]).unwrap();
    let tensors = [
        ("layers.0.weight", view(Dtype::I8, &[4, 4], 16)),
        ("layers.0.weight_scale", view(Dtype::F32, &[4], 16)),
        ("layers.0.bias", view(Dtype::F16, &[4], 8)),
        ("embedding", view(Dtype::BF16, &[4, 8], 64)),
        ("steps", view(Dtype::I64, &[], 8)),
    ];
    serialize(tensors, None).unwrap()
}

/// Opens, and if that works reads everything, as a model would.
fn attempt(bytes: Vec<u8>) -> bool {
    let Ok(weights) = Weights::from_bytes(bytes.into()) else { return false };
    let params = Params::new(&weights, Precision::F32);
    let layer = params.scope("layers").scope(0);
    layer.matrix("weight", 4, 4);
    layer.vector("bias", 4);
    params.root().matrix("embedding", 4, 8);
    for name in weights.names() {
        let tensor = weights.get(name).unwrap();
        let mut values = vec![0.0; tensor.elements()];
        tensor.read_f32(&mut values);
    }
    if let Err(error) = params.finish() {
        assert!(!error.to_string().contains('\0'));
    }
    true
}

#[test]
fn mutated_headers() {
    let whole = sample();
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let mut opened = 0;
    const ROUNDS: usize = 20_000;
    for round in 0..ROUNDS {
        let mut bytes = whole.clone();
        for _ in 0..1 + random.below(3) {
            let at = if round % 8 == 0 { random.below(8) } else { random.below(header) };
            // Digits change sizes and offsets; anything else breaks the text.
            bytes[at] = if round % 2 == 0 && bytes[at].is_ascii_digit() {
                b'0' + random.below(10) as u8
            } else {
                [0, 0xff, b'"', b'9', b'-', b'{', random.below(256) as u8][random.below(7)]
            };
        }
        opened += usize::from(attempt(bytes));
    }
    assert!(opened > ROUNDS / 50 && opened < ROUNDS, "{opened} opened");
}

#[test]
fn every_truncation_is_an_error() {
    let whole = sample();
    for n in 0..whole.len() {
        assert!(!attempt(whole[..n].to_vec()), "{n}");
    }
    assert!(attempt(whole));
}
