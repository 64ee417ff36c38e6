//! Small SmolVLM checkpoints in GGUF, as `fixtures/golden/smolvlm_gguf.py` writes them: the tensors, the tokenizer and the
//! rules are those of the folder that they were made of, and so are the answers.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tiny_vlm_image::Image;
use tiny_vlm_models::{
    Family, ModelOptions, Precision, PromptParts, RequestShape, Source, Step, Task, inspect, load,
};
use tiny_vlm_tensor::Workspace;
use tiny_vlm_weights::Weights;

const NAMES: [&str; 3] = ["smolvlm-tiny", "smolvlm-tiny-tied", "smolvlm-tiny-granite"];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/models").join(name)
}

/// The folder, and the GGUF files made of it, where they are: a package has none.
fn pairs() -> impl Iterator<Item = (&'static str, Source, Source)> {
    let pair = |name: &'static str| {
        let (folder, gguf) = (fixture(name), fixture(&format!("{name}-gguf")));
        gguf.is_dir().then(|| (name, Source::folder(folder), Source::folder(gguf)))
    };
    NAMES.into_iter().filter_map(pair)
}

fn values(weights: &Weights, name: &str) -> Vec<f32> {
    let tensor = weights.get(name).unwrap();
    let mut values = vec![0.0; tensor.elements()];
    assert!(tensor.read_f32(&mut values), "{name}");
    values
}

#[test]
fn tensors_have_the_names_and_the_order_of_the_folder() {
    for (name, folder, gguf) in pairs() {
        let (folder, gguf) = (folder.weights().unwrap(), gguf.weights().unwrap());
        let tied = name.ends_with("tied");
        let names = folder.names().filter(|name| !(tied && name.starts_with("lm_head")));
        assert_eq!(gguf.names().collect::<Vec<_>>(), names.collect::<Vec<_>>(), "{name}");
        for tensor in gguf.names() {
            assert_eq!(gguf.info(tensor).unwrap().shape, folder.info(tensor).unwrap().shape, "{tensor}");
            assert_eq!(values(&gguf, tensor), values(&folder, tensor), "{name}: {tensor}");
        }
    }
}

#[test]
fn text_becomes_the_same_tokens() {
    for (_, folder, gguf) in pairs() {
        let (folder, gguf) = (folder.open_tokenizer().unwrap(), gguf.open_tokenizer().unwrap());
        for text in ["What is in the picture?", "24 hours, 有几只猫？ dit « sortie »\n\n  <image>", ""]
        {
            assert_eq!(gguf.encode(text), folder.encode(text));
            assert_eq!(gguf.encode_with_specials(text), folder.encode_with_specials(text));
        }
        let special = folder.token_id("<row_1_col_2>").unwrap();
        assert!(gguf.is_special(special) && gguf.token_id("<row_1_col_2>") == Some(special));
    }
}

/// The scores after a question about a picture.
fn scores(family: &dyn Family) -> Vec<f32> {
    let workspace = Workspace::inline();
    let ctx = workspace.context();
    let image = Image::open(fixture("smolvlm-images/landscape.png")).unwrap();
    let features = [Arc::new(family.encode(&ctx, &image, &RequestShape::default()).unwrap())];
    let task = Task::Question("What is in the picture?");
    let parts = PromptParts { history: &[], images: 1, task, lang: None };
    let prompt = family.prompt(&parts, &features).unwrap();
    let mut sequence = family.begin(&ctx, &prompt, &features).unwrap();
    let mut scores = vec![0.0; family.info().vocab];
    family.step(&ctx, &mut [Step { sequence: &mut *sequence, ids: &prompt.ids }], &mut scores).unwrap();
    scores
}

#[test]
fn answers_are_those_of_the_folder() {
    for (name, folder, gguf) in pairs() {
        for precision in [Precision::F32, Precision::Int8] {
            // Pictures are split by all files of the family, but for the folder that says they are not.
            let options = ModelOptions::default().with_precision(precision);
            let [folder, gguf] = [&folder, &gguf].map(|source| load(source, &options).unwrap());
            assert_eq!(gguf.info().vocab, folder.info().vocab);
            if !name.ends_with("tied") {
                assert_eq!(scores(&*gguf), scores(&*folder), "{name} in {precision}");
            }
        }
        let found = inspect(&gguf).unwrap();
        assert!(found.fits(), "{name}: {} {:?}", found.faults, found.problem);
        // The tower's file by itself is listed, and is no model.
        let half = fixture(&format!("{name}-gguf")).join(format!("mmproj-{name}.gguf"));
        let half = inspect(&Source::folder(half)).unwrap();
        assert!(half.problem.is_some() && half.tensors.iter().any(|tensor| tensor.name == "v.post_ln.bias"));
    }
}

#[test]
fn files_that_do_not_go_together_are_told() {
    let fails = |text: Vec<u8>, vision: Vec<u8>| Source::gguf(text, vision).unwrap_err().to_string();
    assert!(fails(b"GGUF".to_vec(), b"GGUF".to_vec()).contains("ends within its header"));
    let Some((name, ..)) = pairs().next() else { return };
    let read = |file: String| std::fs::read(fixture(&format!("{name}-gguf")).join(file)).unwrap();
    let (text, vision) = (read(format!("{name}.gguf")), read(format!("mmproj-{name}.gguf")));
    assert!(Source::gguf(text.clone(), vision.clone()).is_ok());
    assert!(fails(vision.clone(), vision).contains("clip"));
    assert!(fails(text.clone(), text.clone()).contains("clip.projector_type"));
    let files = |names: &[&str]| {
        let file = |name: &&str| (name.to_string(), text.clone().into());
        Source::files(names.iter().map(file).collect()).config().unwrap_err().to_string()
    };
    assert!(files(&["model.gguf"]).contains("1 .gguf files of a decoder and 0 with mmproj"));
    assert!(files(&["model.gguf", "mmproj.gguf"]).contains("clip.projector_type"));
    let alone = Source::folder(fixture("no-such-folder/model.gguf"));
    assert!(alone.config().is_err());
}
