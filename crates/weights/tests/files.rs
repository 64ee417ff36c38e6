//! Opening: single files, folders, shards, memory; and everything that is refused.
// WASI has no folder for temporary files.
#![cfg(not(target_family = "wasm"))]

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::PathBuf;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, serialize};
use tiny_vlm_weights::{SharedBytes, Weights, WeightsError};

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tiny-vlm-weights-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A file with tensors of type F32 that are filled with one number each.
fn file(tensors: &[(&str, &[usize], f32)]) -> Vec<u8> {
    let data: Vec<Vec<u8>> =
        tensors.iter().map(|(_, shape, value)| value.to_le_bytes().repeat(shape.iter().product())).collect();
    let views = tensors.iter().zip(&data).map(|((name, shape, _), data)| {
        (name.to_string(), TensorView::new(Dtype::F32, shape.to_vec(), data).unwrap())
    });
    serialize(views, Some(HashMap::from([("format".to_owned(), "pt".to_owned())]))).unwrap()
}

fn with_header(header: &str, data: usize) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.extend(vec![0; data]);
    file
}

fn first(weights: &Weights, name: &str) -> f32 {
    let mut value = [0.0];
    assert!(weights.get(name).unwrap().read_f32(&mut value));
    value[0]
}

#[test]
fn a_folder_a_file_and_memory() {
    let folder = Folder::new("single");
    let bytes = file(&[("b.weight", &[2, 3], 7.0), ("a", &[], 5.0)]);
    let path = folder.write("model.safetensors", &bytes);
    for weights in [
        Weights::open(&folder.0).unwrap(),
        Weights::open(path).unwrap(),
        Weights::from_bytes(bytes.into()).unwrap(),
    ] {
        assert_eq!(weights.names().collect::<Vec<_>>(), ["a", "b.weight"]);
        assert_eq!(weights.info("b.weight").unwrap().shape, [2, 3]);
        assert_eq!((first(&weights, "a"), first(&weights, "b.weight")), (5.0, 7.0));
        assert_eq!(weights.metadata()["format"], "pt");
        assert_eq!(weights.stored_bytes(), 28);
        assert!(weights.get("c").is_none());
    }
}

#[test]
fn shards() {
    let folder = Folder::new("shards");
    folder.write("model-1.safetensors", file(&[("a", &[1], 1.0), ("twice", &[1], 10.0)]));
    folder.write(
        "model-2.safetensors",
        file(&[("b", &[1], 2.0), ("twice", &[1], 20.0), ("unlisted", &[1], 3.0)]),
    );
    let index = r#"{"metadata": {}, "weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors",
                    "twice": "model-2.safetensors"}}"#;
    let path = folder.write("model.safetensors.index.json", index);
    let names = ["model-1.safetensors", "model-2.safetensors", "model.safetensors.index.json"];
    let read = |name: &str| (name.to_owned(), fs::read(folder.0.join(name)).unwrap().into());
    let mut files: BTreeMap<String, SharedBytes> = names.into_iter().map(read).collect();
    let in_memory = Weights::from_files(&files).unwrap();
    for weights in [Weights::open(&folder.0).unwrap(), Weights::open(path).unwrap(), in_memory] {
        let values: Vec<f32> = weights.names().map(|name| first(&weights, name)).collect();
        assert_eq!(values, [1.0, 2.0, 20.0, 3.0]);
    }
    files.remove("model-2.safetensors");
    let error = Weights::from_files(&files).unwrap_err();
    assert!(error.code() == "weights-file" && error.to_string().contains("model-2.safetensors"), "{error}");
    assert_eq!(Weights::from_files(&BTreeMap::new()).unwrap_err().code(), "weights-none");
}

#[test]
fn broken_indices() {
    let folder = Folder::new("indices");
    folder.write("a.safetensors", file(&[("a", &[1], 1.0), ("both", &[1], 1.0)]));
    folder.write("b.safetensors", file(&[("b", &[1], 1.0), ("both", &[1], 1.0)]));
    let open = |index: &str| Weights::open(folder.write("x.index.json", index)).unwrap_err();
    for bad in ["", "[]", "{}", r#"{"weight_map": 3}"#, r#"{"weight_map": {"a": 3}}"#, "\u{fffd}"] {
        assert_eq!(open(bad).code(), "weights-index", "{bad}");
    }
    assert!("[[[[[[[[".repeat(10_000).len() > 128 && open(&"[".repeat(100_000)).code() == "weights-index");
    assert_eq!(
        open(r#"{"weight_map": {"a": "a.safetensors", "b": "b.safetensors"}}"#).code(),
        "weights-twice"
    );
    let error = open(
        r#"{"weight_map": {"a": "a.safetensors", "both": "a.safetensors", "x": "a.safetensors", "y": "a.safetensors"}}"#,
    );
    assert!(matches!(&error, WeightsError::NotInShard { tensors, .. } if tensors.len() == 2), "{error}");
    assert_eq!(open(r#"{"weight_map": {"a": "absent.safetensors"}}"#).code(), "weights-file");
}

#[test]
fn shards_are_files_beside_the_index_and_nothing_else() {
    let folder = Folder::new("escape");
    let inner = folder.0.join("inner");
    fs::create_dir_all(inner.join("deeper")).unwrap();
    folder.write("secret.safetensors", file(&[("a", &[1], 1.0)]));
    fs::write(inner.join("deeper/a.safetensors"), file(&[("a", &[1], 1.0)])).unwrap();
    let absolute = folder.0.join("secret.safetensors").display().to_string();
    for shard in [
        "../secret.safetensors",
        "deeper/a.safetensors",
        "./../secret.safetensors",
        "..",
        ".",
        "",
        "/etc/passwd",
        &absolute,
        "C:secret.safetensors",
        "..\\secret.safetensors",
        "a\0.safetensors",
        "a\n.safetensors",
    ] {
        let index = serde_json::json!({"weight_map": {"a": shard}}).to_string();
        fs::write(inner.join("model.safetensors.index.json"), index).unwrap();
        let error = Weights::open(&inner).unwrap_err();
        assert_eq!(error.code(), "weights-shard-name", "{shard:?}: {error}");
    }
}

#[test]
fn what_is_not_there() {
    let folder = Folder::new("absent");
    assert_eq!(Weights::open(&folder.0).unwrap_err().code(), "weights-none");
    assert_eq!(Weights::open(folder.0.join("no.safetensors")).unwrap_err().code(), "weights-file");
    assert_eq!(Weights::open(folder.write("empty.safetensors", "")).unwrap_err().code(), "weights-no-header");
}

#[test]
fn headers_that_lie() {
    let code = |bytes: Vec<u8>| Weights::from_bytes(bytes.into()).unwrap_err().code();
    assert_eq!(code(vec![]), "weights-no-header");
    assert_eq!(code(vec![0; 7]), "weights-no-header");
    assert_eq!(code(u64::MAX.to_le_bytes().to_vec()), "weights-no-header");
    assert_eq!(code(with_header(&" ".repeat(17 << 20), 0)), "weights-header-too-large");
    assert_eq!(code(with_header("", 0)), "weights-header");
    assert_eq!(code(with_header("not json", 0)), "weights-header");
    assert_eq!(code(with_header(&"{\"a\":".repeat(100_000), 0)), "weights-header");
    for (offsets, shape, data) in [
        ("[0,8]", "[2]", 7),
        ("[0,8]", "[2]", 9),
        ("[0,8]", "[3]", 8),
        ("[4,12]", "[2]", 12),
        ("[8,0]", "[2]", 8),
        ("[0,18446744073709551615]", "[2]", 8),
        ("[0,18446744073709551616]", "[2]", 8),
        ("[-8,0]", "[2]", 8),
        ("[0,8]", "[-2]", 8),
        ("[0,8]", "[4294967296,4294967296,4294967296]", 8),
        ("[0,0]", "[4294967296,4294967296]", 0),
        ("[0,4]", "[1,1,1,1,1,1,1,1,1]", 4),
    ] {
        let header = format!(r#"{{"a":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}}}"#);
        assert_eq!(code(with_header(&header, data)), "weights-header", "{header}");
    }
    let twice = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    assert_eq!(code(with_header(twice, 4)), "weights-header");
    assert_eq!(
        code(with_header(r#"{"a":{"dtype":"F33","shape":[1],"data_offsets":[0,4]}}"#, 4)),
        "weights-header"
    );
}

#[test]
fn messages_name_the_file_and_hold_no_control_characters() {
    let folder = Folder::new("words");
    let header = r#"{"a\u001b[31m":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#;
    let path = folder.write("liar.safetensors", with_header(header, 8));
    let error = Weights::open(&path).unwrap_err().to_string();
    assert!(error.contains("liar.safetensors") && !error.contains('\u{1b}'), "{error}");
}
