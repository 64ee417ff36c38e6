//! GGUF files: numbers as the reference reads them, four bits kept as they are, and files that lie.

use std::path::{Path, PathBuf};

use tiny_vlm_quant::{Group, Matrix, Precision};
use tiny_vlm_weights::{BlockFormat, Dtype, GgufValue, Params, Renamed, Weights};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/gguf").join(name)
}

/// The file of blocks; a package has none.
fn blocks() -> Option<Vec<u8>> {
    std::fs::read(fixture("blocks.gguf")).ok()
}

fn open(bytes: &[u8]) -> Result<Weights, String> {
    Weights::from_bytes(bytes.to_vec().into()).map_err(|error| error.to_string())
}

fn values(weights: &Weights, name: &str) -> Vec<f32> {
    let tensor = weights.get(name).unwrap();
    let mut values = vec![0.0; tensor.elements()];
    assert!(tensor.read_f32(&mut values), "{name}");
    values
}

fn rows(matrix: &Matrix) -> Vec<f32> {
    let mut out = vec![0.0; matrix.rows() * matrix.columns()];
    for (i, row) in out.chunks_exact_mut(matrix.columns()).enumerate() {
        matrix.row(i, row).unwrap();
    }
    out
}

#[test]
fn every_type_is_read_as_the_reference_reads_it() {
    let Some(bytes) = blocks() else { return };
    let ours = open(&bytes).unwrap();
    let reference = Weights::open(fixture("blocks.safetensors")).unwrap();
    assert_eq!(ours.len(), 11);
    for name in ours.names() {
        assert_eq!(ours.info(name).unwrap().shape, [2, 512]);
        let (ours, reference) = (values(&ours, name), values(&reference, name));
        for (i, (a, b)) in ours.iter().zip(&reference).enumerate() {
            assert!((a - b).abs() <= b.abs() * f32::EPSILON, "{name} at {i}: {a} and {b}");
        }
    }
    assert_eq!(ours.info("Q6_K").unwrap().dtype, Dtype::Blocks(BlockFormat::Q6K));
}

#[test]
fn metadata_are_read() {
    let Some(bytes) = blocks() else { return };
    let weights = open(&bytes).unwrap();
    let value = |name: &str| weights.gguf().get(name).unwrap();
    assert_eq!(value("general.architecture").as_str(), Some("llama"));
    assert_eq!((value("test.u32").as_u64(), value("test.u64").as_u64()), (Some(7), Some(1 << 40)));
    assert_eq!(value("test.i32"), &GgufValue::Negative(-7));
    assert_eq!((value("test.f32").as_f64(), value("test.f64").as_f64()), (Some(0.5), Some(-0.25)));
    assert_eq!(value("test.bool").as_bool(), Some(true));
    let strings: Vec<_> = value("test.strings").as_array().unwrap().iter().map(GgufValue::as_str).collect();
    assert_eq!(strings, [Some("a"), Some("é"), Some("")]);
    let numbers: Vec<_> = value("test.numbers").as_array().unwrap().iter().map(GgufValue::as_f64).collect();
    assert_eq!(numbers, [Some(1.0), Some(-2.0), Some(3.0)]);
}

#[test]
fn four_bits_stay_four_bits() {
    let Some(bytes) = blocks() else { return };
    let weights = open(&bytes).unwrap();
    let int4 = Precision::Int4(Group::Of32);
    for asked in [Precision::Int8, int4] {
        let params = Params::new(&weights, asked);
        let matrix = params.root().matrix("Q4_0", 2, 512);
        assert_eq!((matrix.precision(), params.precision_of("Q4_0")), (int4, int4));
        assert_eq!(rows(&matrix), values(&weights, "Q4_0"));
        // All else is rounded to what was asked for.
        assert_eq!(params.root().matrix("Q6_K", 2, 512).precision(), asked);
    }
    let params = Params::new(&weights, Precision::F32).repacking(true);
    let matrix = params.root().matrix("Q4_0", 2, 512);
    assert_eq!((matrix.precision(), rows(&matrix)), (Precision::F32, values(&weights, "Q4_0")));
}

#[test]
fn tensors_get_other_names_and_rows_another_order() {
    let Some(bytes) = blocks() else { return };
    let (blocks, floats) = (open(&bytes).unwrap(), Weights::open(fixture("blocks.safetensors")).unwrap());
    let joined = Weights::joined(&[blocks.clone(), floats], |name, info| match (name, info.dtype) {
        ("Q4_K", Dtype::Blocks(_)) => Some(Renamed { name: "turned".to_owned(), rows: Some(vec![1, 0]) }),
        ("Q4_K", _) => Some(Renamed::to("plain")),
        _ => None,
    });
    let joined = joined.unwrap();
    assert_eq!(joined.names().collect::<Vec<_>>(), ["plain", "turned"]);
    let (plain, turned) = (values(&joined, "plain"), values(&joined, "turned"));
    assert_eq!((&plain[..512], &plain[512..]), (&turned[512..], &turned[..512]));
    assert!(joined.gguf().contains_key("test.u32"));
    let twice = Weights::joined(std::slice::from_ref(&blocks), |_, _| Some(Renamed::to("one")));
    assert_eq!(twice.unwrap_err().code(), "weights-twice");
    for wrong in [vec![0], vec![0, 2], vec![0, usize::MAX]] {
        let renamed = Renamed { name: "a".to_owned(), rows: Some(wrong) };
        assert!(Weights::joined(std::slice::from_ref(&blocks), |_, _| Some(renamed.clone())).is_err());
    }
}

/// A file of one F32 tensor `a` of these axes, innermost first, with so much data.
fn file(axes: &[u64], kind: u32, offset: u64, data: usize) -> Vec<u8> {
    let mut out = b"GGUF".to_vec();
    out.extend(3_u32.to_le_bytes());
    out.extend(1_u64.to_le_bytes());
    out.extend(0_u64.to_le_bytes());
    out.extend(1_u64.to_le_bytes());
    out.push(b'a');
    out.extend((axes.len() as u32).to_le_bytes());
    axes.iter().for_each(|axis| out.extend(axis.to_le_bytes()));
    out.extend(kind.to_le_bytes());
    out.extend(offset.to_le_bytes());
    out.resize(out.len().next_multiple_of(32) + data, 0);
    out
}

#[test]
fn files_that_lie_are_refused() {
    assert!(open(&file(&[4], 0, 0, 16)).is_ok());
    assert_eq!(open(&file(&[4, 2], 0, 0, 32)).unwrap().info("a").unwrap().shape, [2, 4]);
    for (file, fault) in [
        (file(&[4], 0, 0, 15), "ends beyond the file"),
        (file(&[4], 0, 32, 16), "ends beyond the file"),
        (file(&[4], 0, u64::MAX - 31, 16), "ends beyond the file"),
        (file(&[4], 0, 1, 32), "no multiple of 32"),
        (file(&[u64::MAX, u64::MAX], 0, 0, 16), "beyond all counting"),
        (file(&[1 << 62], 0, 0, 16), "beyond all counting"),
        (file(&[1 << 30], 0, 0, 16), "ends beyond the file"),
        (file(&[1; 5], 0, 0, 16), "5 axes"),
        (file(&[4], 99, 0, 16), "type 99"),
        (file(&[4], 2, 0, 16), "no whole blocks of Q4_0"),
    ] {
        let error = open(&file).unwrap_err();
        assert!(error.contains(fault), "{error}, not {fault}");
    }
    let mut other = file(&[4], 0, 0, 16);
    other[4] = 1;
    assert!(open(&other).unwrap_err().contains("version 1"));
    for at in [8, 16, 24] {
        let mut many = file(&[4], 0, 0, 16);
        many[at..at + 8].fill(0xff);
        assert!(open(&many).is_err());
    }
}

#[test]
fn no_cut_and_no_changed_byte_makes_a_panic() {
    let Some(bytes) = blocks() else { return };
    let header = bytes.len() - 2 * 512 * 12;
    let read = |bytes: &[u8]| {
        if let Ok(weights) = open(bytes) {
            weights.names().for_each(|name| drop(values(&weights, name)));
        }
    };
    (0..bytes.len()).step_by(13).for_each(|length| read(&bytes[..length]));
    let mut state = 1_u64;
    for _ in 0..3000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut changed = bytes.clone();
        let at = (state >> 33) as usize % header.min(2000);
        changed[at] = (state >> 20) as u8;
        read(&changed);
    }
}
