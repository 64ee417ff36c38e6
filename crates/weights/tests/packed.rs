//! Files of packed matrices: written, mapped, used where they lie, and refused where they lie.
// WASI has no folder for temporary files.
#![cfg(not(target_family = "wasm"))]

use std::fs;
use std::path::{Path, PathBuf};

use safetensors::tensor::TensorView;
use safetensors::{Dtype as Stored, serialize};
use tiny_vlm_memory::ALIGNMENT;
use tiny_vlm_quant::{Group, Matrix, Precision};
use tiny_vlm_weights::{Dtype, Params, Use, Watch, Weights, WeightsError, Writer};

const INT4: Precision = Precision::Int4(Group::Of32);

/// A file that goes away with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("tiny-vlm-packed-{}-{name}.safetensors", std::process::id())))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn wave(len: usize) -> Vec<f32> {
    (0..len).map(|i| (i as f32 * 0.37).sin()).collect()
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// A checkpoint of a linear layer, a kernel, a norm, and bytes with scales.
fn checkpoint() -> Weights {
    let (linear, kernel, norm) = (bytes(&wave(40 * 70)), bytes(&wave(8 * 3 * 2 * 2)), bytes(&wave(3)));
    let small: Vec<u8> = (0..24).collect();
    let scales = bytes(&[0.5; 4]);
    let views = [
        ("linear.weight", TensorView::new(Stored::F32, vec![40, 70], &linear).unwrap()),
        ("conv.weight", TensorView::new(Stored::F32, vec![8, 3, 2, 2], &kernel).unwrap()),
        ("norm.weight", TensorView::new(Stored::F32, vec![3], &norm).unwrap()),
        ("small.weight", TensorView::new(Stored::I8, vec![4, 6], &small).unwrap()),
        ("small.weight_scale", TensorView::new(Stored::F32, vec![4], &scales).unwrap()),
        ("unused", TensorView::new(Stored::F32, vec![3], &norm).unwrap()),
    ];
    Weights::from_bytes(serialize(views, None).unwrap().into()).unwrap()
}

/// The matrices and the numbers of a model that asks for all but `unused`.
fn model(params: &Params<'_>) -> (Vec<Matrix>, Vec<f32>) {
    let matrices = vec![
        params.scope("linear").matrix("weight", 40, 70),
        params.scope("conv").kernel("weight", 8, [2, 2], 3),
        params.scope("small").matrix("weight", 4, 6),
    ];
    (matrices, params.scope("norm").vector("weight", 3).to_vec())
}

const MATRICES: [(&str, &[usize]); 3] =
    [("linear.weight", &[40, 70]), ("conv.weight", &[8, 3, 2, 2]), ("small.weight", &[4, 6])];

fn rows(matrix: &Matrix) -> Vec<f32> {
    let mut out = vec![0.0; matrix.rows() * matrix.columns()];
    for (i, row) in out.chunks_exact_mut(matrix.columns()).enumerate() {
        matrix.row(i, row).unwrap();
    }
    out
}

/// Packs the checkpoint in `precision`.
fn write(path: &Path, precision: Precision) -> Vec<Matrix> {
    let weights = checkpoint();
    let params = Params::new(&weights, precision);
    let (matrices, _) = model(&params);
    let mut writer = Writer::create(path, weights.names()).unwrap();
    for ((name, shape), matrix) in MATRICES.iter().zip(&matrices) {
        writer.matrix(name, shape, matrix).unwrap();
    }
    writer.stored("norm.weight", &weights.get("norm.weight").unwrap()).unwrap();
    assert_eq!(writer.finish().unwrap(), fs::metadata(path).unwrap().len());
    matrices
}

#[test]
fn matrices_are_used_where_they_lie() {
    for precision in Precision::ALL.into_iter().chain(Precision::SPARSE) {
        let file = Scratch::new(precision.name());
        let packed = write(&file.0, precision);
        let weights = Weights::open(&file.0).unwrap();
        for ((name, shape), matrix) in MATRICES.iter().zip(&packed) {
            let info = weights.info(name).unwrap();
            assert_eq!((info.dtype, &info.shape[..]), (Dtype::Packed(matrix.layout()), *shape));
            let bytes = weights.shared(name).unwrap();
            assert!(bytes.as_ptr().addr().is_multiple_of(ALIGNMENT) && bytes.len().is_multiple_of(ALIGNMENT));
        }
        // Whatever precision a model asks for, what is packed stays as it is.
        let params = Params::new(&weights, Precision::Bf16).at_least("small", Precision::F16);
        let (matrices, norm) = model(&params);
        params.finish().unwrap();
        assert_eq!(norm, wave(3));
        for (matrix, packed) in matrices.iter().zip(&packed) {
            assert_eq!((matrix.precision(), matrix.to_packed()), (precision, packed.to_packed()));
        }
    }
}

#[test]
fn what_is_packed_is_brought_to_another_precision_where_that_is_asked_for() {
    let file = Scratch::new("repacked");
    let packed = write(&file.0, INT4);
    let weights = Weights::open(&file.0).unwrap();
    let params = Params::new(&weights, Precision::F32).repacking(true);
    let (matrices, _) = model(&params);
    params.finish().unwrap();
    for (matrix, packed) in matrices.iter().zip(&packed) {
        assert_eq!((matrix.precision(), rows(matrix)), (Precision::F32, rows(packed)));
    }
    // As numbers they have the order of the shape that they are stored in.
    let params = Params::new(&weights, Precision::F32);
    let kernel = params.scope("conv").tensor("weight", [8, 3, 2, 2]);
    let matrix = rows(&packed[1]);
    for [o, i, y, x] in [[0, 0, 0, 0], [7, 2, 1, 0], [3, 1, 0, 1]] {
        assert_eq!(kernel[[o, i, y, x]], matrix[o * 12 + (y * 2 + x) * 3 + i]);
    }
    assert_eq!(params.scope("linear").tensor("weight", [40, 70]).data(), rows(&packed[0]));
}

#[test]
fn a_matrix_can_be_taken_for_another() {
    let other = Matrix::from_f32(40, 70, &[1.0; 2800], INT4).unwrap();
    let weights = checkpoint().with_matrix("linear.weight", other.clone());
    let params = Params::new(&weights, Precision::F32);
    let linear = params.scope("linear").matrix("weight", 40, 70);
    assert_eq!((linear.precision(), linear.to_packed()), (INT4, other.to_packed()));
    assert_eq!(params.scope("small").matrix("weight", 4, 6).precision(), Precision::F32);
    // Of another shape it is none.
    let weights = weights.with_matrix("small.weight", other);
    let params = Params::new(&weights, Precision::F32);
    assert_eq!(params.scope("small").matrix("weight", 4, 6).rows(), 4);
}

#[test]
fn a_watch_sees_what_each_tensor_is() {
    let watch = Watch::default();
    let weights = checkpoint().watched(&watch);
    let params = Params::new(&weights, Precision::Int8).at_least("conv.", Precision::F16);
    model(&params);
    params.ignore(|name| name == "unused");
    let uses = watch.uses();
    let matrix = |shape: &[usize], least| Use::Matrix { shape: shape.to_vec(), least };
    assert_eq!(uses["linear.weight"], matrix(&[40, 70], None));
    assert_eq!(uses["conv.weight"], matrix(&[8, 3, 2, 2], Some(Precision::F16)));
    assert_eq!((&uses["norm.weight"], &uses["small.weight_scale"]), (&Use::Numbers, &Use::Scales));
    assert_eq!(uses["unused"], Use::Ignored);
    // What serves in two ways must stay as it is.
    params.scope("linear").tensor("weight", [40, 70]);
    assert_eq!(watch.uses()["linear.weight"], Use::Numbers);
}

/// Replaces a text in the header by another of its length.
fn forged(path: &Path, from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut file = fs::read(path).unwrap();
    let at = file.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
    file[at..at + from.len()].copy_from_slice(to.as_bytes());
    file
}

#[test]
fn files_that_lie_are_refused() {
    let file = Scratch::new("lying");
    write(&file.0, INT4);
    let open = |bytes: Vec<u8>| Weights::from_bytes(bytes.into());
    let error = open(forged(&file.0, "s4-n16k8-g32 40x70", "s9-n16k8-g32 40x70")).unwrap_err();
    assert_eq!(error.code(), "weights-layout");
    assert!(error.to_string().contains("linear.weight") && error.to_string().contains("s9-n16k8-g32"));
    for (from, to) in [
        ("s4-n16k8-g32 40x70", "s4-n16k8-g32 4_x70"),
        ("s4-n16k8-g32 40x70", "s4-n16k8-g32 40070"),
        ("packed:linear", "packed:nobody"),
        ("packed:small.weight", "packed:norm.weight_"),
    ] {
        let error = open(forged(&file.0, from, to)).unwrap_err();
        assert!(matches!(error, WeightsError::Header { .. }), "{to}: {error}");
    }
    // Another shape of as many bytes as the matrix does not have, and the model's own shape with another layout.
    for (from, to) in
        [("s4-n16k8-g32 40x70", "s4-n16k8-g32 90x70"), ("s4-n16k8-g32 40x70", "s4-n16k8-g64 40x70")]
    {
        let weights = open(forged(&file.0, from, to)).unwrap();
        let params = Params::new(&weights, INT4);
        model(&params);
        let error = params.finish().unwrap_err();
        assert_eq!(error.misshapen.len() + error.unusable.len(), 1, "{to}: {error}");
    }
    let whole = fs::read(&file.0).unwrap();
    for length in [0, 7, 100, whole.len() / 2, whole.len() - 1] {
        assert!(open(whole[..length].to_vec()).is_err(), "{length} of {} bytes", whole.len());
    }
}

#[test]
fn a_writer_says_what_it_cannot_write() {
    assert!(matches!(Writer::create("/no/such/folder/file", []), Err(WeightsError::Write { .. })));
    let data = [0; 8];
    let views = [("steps", TensorView::new(Stored::I64, vec![1], &data).unwrap())];
    let weights = Weights::from_bytes(serialize(views, None).unwrap().into()).unwrap();
    let file = Scratch::new("steps");
    let mut writer = Writer::create(&file.0, ["steps"]).unwrap();
    let error = writer.stored("steps", &weights.get("steps").unwrap()).unwrap_err();
    assert!(error.to_string().contains("steps is of type I64"), "{error}");
    let partial = file.0.with_extension("safetensors.partial");
    assert!(partial.exists());
    drop(writer);
    assert!(!file.0.exists() && !partial.exists());
}
