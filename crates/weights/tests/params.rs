//! Building a model: what is converted, what is reported.

use safetensors::tensor::TensorView;
use safetensors::{Dtype, serialize};
use tiny_vlm_quant::{Matrix, Precision};
use tiny_vlm_weights::{Params, Weights};

type Stored = (&'static str, Dtype, &'static [usize], Vec<u8>);

fn weights(tensors: &[Stored]) -> Weights {
    let views = tensors
        .iter()
        .map(|(name, dtype, shape, data)| (*name, TensorView::new(*dtype, shape.to_vec(), data).unwrap()));
    Weights::from_bytes(serialize(views, None).unwrap().into()).unwrap()
}

fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn rows(matrix: &Matrix) -> Vec<Vec<f32>> {
    (0..matrix.rows())
        .map(|i| {
            let mut row = vec![0.0; matrix.cols()];
            matrix.row(i, &mut row).unwrap();
            row
        })
        .collect()
}

#[test]
fn every_type_becomes_f32() {
    let halves = |bits: &[u16]| bits.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let weights = weights(&[
        ("odd", Dtype::U8, &[1], vec![9]),
        ("f32", Dtype::F32, &[2], f32s(&[1.5, -2.0])),
        ("f16", Dtype::F16, &[2], halves(&[0x3e00, 0xc000])),
        ("bf16", Dtype::BF16, &[2], halves(&[0x3fc0, 0xc000])),
        ("f64", Dtype::F64, &[2], [1.5f64, -2.0].iter().flat_map(|v| v.to_le_bytes()).collect()),
        ("i8", Dtype::I8, &[2], vec![3, 0xfc]),
        ("i8_scale", Dtype::F32, &[2], f32s(&[0.5, 0.5])),
    ]);
    let params = Params::new(&weights, Precision::F32);
    for name in ["f32", "f16", "bf16", "f64", "i8"] {
        assert_eq!(params.root().vector(name, 2)[..], [1.5, -2.0], "{name}");
    }
    assert_eq!(params.root().vector("odd", 1)[..], [9.0]);
    params.finish().unwrap();
}

#[test]
fn bytes_at_any_address() {
    let stored = f32s(&[1.0, 2.0, 3.0]);
    let views = [("a", TensorView::new(Dtype::F32, vec![3], &stored).unwrap())];
    let file = serialize(views, None).unwrap();
    for shift in 0..8 {
        let mut bytes = vec![0u8; shift];
        bytes.extend(&file);
        let bytes: &'static [u8] = Box::leak(bytes.into_boxed_slice());
        let weights = Weights::from_bytes((&bytes[shift..]).into()).unwrap();
        let params = Params::new(&weights, Precision::F32);
        assert_eq!(params.root().vector("a", 3)[..], [1.0, 2.0, 3.0]);
    }
}

#[test]
fn shapes_around_a_vector_do_not_matter_but_its_length_does() {
    let weights = weights(&[
        ("gamma", Dtype::F32, &[2, 1, 1], f32s(&[1.0, 2.0])),
        ("one", Dtype::F32, &[], f32s(&[5.0])),
        ("square", Dtype::F32, &[2, 2], f32s(&[0.0; 4])),
    ]);
    let params = Params::new(&weights, Precision::F32);
    assert_eq!(params.root().vector("gamma", 2)[..], [1.0, 2.0]);
    assert_eq!(params.root().vector("one", 1)[..], [5.0]);
    assert_eq!(params.root().vector("square", 4)[..], [0.0; 4]);
    let error = params.finish().unwrap_err();
    assert_eq!(error.misshapen.len(), 1);
    assert_eq!(error.misshapen[0].found, [2, 2]);
}

#[test]
fn matrices() {
    let weights = weights(&[
        ("linear.weight", Dtype::F32, &[2, 3], f32s(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])),
        ("point.weight", Dtype::F32, &[2, 1, 1, 1], f32s(&[1.0, 2.0])),
        ("small.weight", Dtype::I8, &[2, 2], vec![1, 2, 3, 0xff]),
        ("small.weight_scale", Dtype::F32, &[2, 1], f32s(&[0.5, 2.0])),
        ("conv.weight", Dtype::F32, &[1, 2, 1, 3], f32s(&[1.0, 2.0, 3.0, 10.0, 20.0, 30.0])),
        ("small-conv.weight", Dtype::I8, &[1, 2, 2, 1], vec![1, 2, 3, 4]),
        ("small-conv.weight_scale", Dtype::F32, &[1], f32s(&[10.0])),
    ]);
    let params = Params::new(&weights, Precision::F32);
    let linear = params.scope("linear").matrix("weight", 2, 3);
    assert_eq!(rows(&linear), [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);
    assert_eq!(linear.precision(), Precision::F32);
    assert_eq!(rows(&params.scope("point").matrix("weight", 2, 1)), [[1.0], [2.0]]);
    let conv = params.scope("conv").kernel("weight", 1, [1, 3], 2);
    assert_eq!(rows(&conv), [[1.0, 10.0, 2.0, 20.0, 3.0, 30.0]]);
    // What is stored in bytes becomes the precision asked for like anything else, and stays where that is int8.
    for precision in [Precision::F32, Precision::Int8] {
        let params = Params::new(&weights, precision);
        let small = params.scope("small").matrix("weight", 2, 2);
        assert_eq!(small.precision(), precision);
        assert_eq!(rows(&small), [[0.5, 1.0], [6.0, -2.0]]);
        let conv = params.scope("small-conv").kernel("weight", 1, [2, 1], 2);
        assert_eq!(rows(&conv), [[10.0, 30.0, 20.0, 40.0]]);
    }
    params.ignore(|name| name.starts_with("small"));
    params.finish().unwrap();
}

#[test]
fn all_faults_are_told_at_once() {
    let weights = weights(&[
        ("layers.0.a", Dtype::F32, &[2], f32s(&[1.0, 2.0])),
        ("layers.0.b", Dtype::F32, &[3], f32s(&[0.0; 3])),
        ("layers.0.c", Dtype::I64, &[1], vec![0; 8]),
        ("layers.0.d", Dtype::I8, &[1, 1], vec![1]),
        ("layers.1.a", Dtype::F32, &[2], f32s(&[1.0, 2.0])),
        ("left\u{1b}over", Dtype::F32, &[1], f32s(&[1.0])),
    ]);
    let params = Params::new(&weights, Precision::F32);
    let layer = params.scope("layers").scope(0);
    assert_eq!(layer.vector("a", 2)[..], [1.0, 2.0]);
    assert_eq!(layer.vector("b", 2)[..], [0.0, 0.0]);
    assert_eq!(layer.vector("c", 1)[..], [0.0]);
    assert_eq!(rows(&layer.matrix("d", 1, 1)), [[0.0]]);
    assert_eq!(layer.tensor("e", [2, 3]).data(), [0.0; 6]);
    assert_eq!(rows(&layer.matrix("f", 1, 2)), [[0.0, 0.0]]);
    assert!(layer.optional_vector("g", 4).is_none());
    let error = params.finish().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the checkpoint does not fit the model: 3 missing, 1 of another shape, 1 of another type, 2 extra\n  \
         missing: layers.0.d_scale [1]\n  \
         missing: layers.0.e [2, 3]\n  \
         missing: layers.0.f [1, 2]\n  \
         shape: layers.0.b is [3], expected [2]\n  \
         type: layers.0.c is I64\n  \
         extra: layers.1.a\n  \
         extra: left\u{fffd}over"
    );
    assert_eq!(error.extra[1], "left\u{1b}over");
}

#[test]
fn numbers_that_cannot_be_used() {
    let weights = weights(&[
        ("a", Dtype::I8, &[1, 1], vec![1]),
        ("a_scale", Dtype::F32, &[1], f32s(&[f32::NAN])),
        ("b", Dtype::F32, &[1, 1], f32s(&[f32::INFINITY])),
    ]);
    let params = Params::new(&weights, Precision::Int8);
    params.root().matrix("a", 1, 1);
    params.root().matrix("b", 1, 1);
    let error = params.finish().unwrap_err();
    assert_eq!(error.unusable.iter().map(|u| &u.name[..]).collect::<Vec<_>>(), ["a", "b"], "{error}");
}

#[test]
fn extras_can_be_ignored_or_returned() {
    let weights =
        weights(&[("a", Dtype::F32, &[1], f32s(&[1.0])), ("b.position_ids", Dtype::I64, &[1], vec![0; 8])]);
    let params = Params::new(&weights, Precision::F32);
    params.root().vector("a", 1);
    assert_eq!(params.finish_with_extra().unwrap(), ["b.position_ids"]);
    let params = Params::new(&weights, Precision::F32);
    params.ignore(|name| name.ends_with("position_ids"));
    params.root().vector("a", 1);
    params.finish().unwrap();
}

#[test]
fn absurd_sizes_are_not_allocated() {
    let weights = weights(&[("a", Dtype::F32, &[1], f32s(&[1.0]))]);
    let params = Params::new(&weights, Precision::F32);
    assert!(params.root().vector("a", usize::MAX).is_empty());
    assert_eq!(params.root().tensor("b", [usize::MAX, usize::MAX]).shape(), [0, 0]);
    assert_eq!(params.root().matrix("c", 1 << 20, 1 << 20).rows(), 0);
    assert_eq!(params.root().kernel("d", usize::MAX >> 8, [1 << 20, 1 << 20], 1 << 20).rows(), 0);
    assert_eq!(params.finish().unwrap_err().missing.len(), 3);
}

#[test]
fn many_missing_tensors_do_not_add_up_to_more_than_the_checkpoint() {
    const LAYERS: usize = 1000;
    let weights = weights(&[("a", Dtype::F32, &[1], f32s(&[1.0]))]);
    let params = Params::new(&weights, Precision::F32);
    params.root().vector("a", 1);
    let scopes = (0..LAYERS).map(|layer| params.scope("layers").scope(layer));
    let made: usize = scopes.map(|layer| layer.vector("gate", 1 << 20).len()).sum();
    assert!((1..=16 << 20).contains(&made), "{made} zeros");
    assert_eq!(params.finish().unwrap_err().missing.len(), LAYERS);
}

#[test]
fn parts_keep_the_precision_they_need() {
    let weights = weights(&[
        ("finder.weight", Dtype::F32, &[1, 2], f32s(&[1.0, 1.0])),
        ("tower.weight", Dtype::F32, &[1, 2], f32s(&[1.0, 1.0])),
    ]);
    let made = |precision| {
        let params = Params::new(&weights, precision).at_least("finder.", Precision::F16);
        ["finder", "tower"].map(|part| params.scope(part).matrix("weight", 1, 2).precision())
    };
    assert_eq!(made(Precision::Int8), [Precision::F16, Precision::Int8]);
    assert_eq!(made(Precision::F32), [Precision::F32; 2]);
}
