//! From a picture to its features and classes, FastViT agrees with `timm`, with the branches of training and folded.
//! What lies between, `tiny-vlm-vision` compares.

use std::path::PathBuf;

use tiny_vlm_image::Image;
use tiny_vlm_models::{ModelOptions, Precision, Source, load_images, open_images};
use tiny_vlm_tensor::Workspace;
use tiny_vlm_weights::Weights;

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

#[test]
fn features_and_classes_are_the_reference_s() {
    let workspace = Workspace::new(2);
    let scene = Image::open(fixtures().join("image/scene-97x61.png")).unwrap();
    for name in ["fastvit-t8", "fastvit-t8-folded"] {
        let folder = fixtures().join("models").join(name);
        let golden = Weights::open(folder.join("golden.safetensors")).unwrap();
        let agree = |stage: &str, ours: &[f32], tolerance: f32| {
            let mut expected = vec![0.0; ours.len()];
            assert_eq!(golden.info(stage).unwrap().elements(), ours.len());
            golden.get(stage).unwrap().read_f32(&mut expected);
            let scale = expected.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
            let pairs = ours.iter().zip(&expected);
            let off = pairs.fold(0.0_f32, |most, (a, b)| most.max((a - b).abs())) / scale;
            println!("{name} {stage}: {off:.1e}");
            assert!(off < tolerance, "{name} {stage}: {off}");
        };
        for (precision, tolerance) in [(Precision::F32, 1e-4), (Precision::Auto, 0.25)] {
            let options = ModelOptions::default().with_precision(precision);
            let model = open_images(&folder, &options).unwrap();
            assert_eq!(
                (model.info().family, model.info().features, model.info().labels.len()),
                ("fastvit", 64, 10)
            );
            agree("scene.pooled", &model.features(&workspace.context(), &scene).unwrap(), tolerance);
            agree("scene.logits", &model.classify(&workspace.context(), &scene).unwrap(), tolerance);
        }
    }
}

#[test]
fn other_networks_are_errors() {
    let read = |file: &str| std::fs::read(fixtures().join("models/fastvit-t8").join(file)).unwrap();
    let config = String::from_utf8(read("config.json")).unwrap();
    let error = |from: &str, to: &str| {
        assert!(config.contains(from), "{from}");
        let source = Source::bytes(config.replacen(from, to, 1), b"".as_slice(), read("model.safetensors"));
        load_images(&source, &ModelOptions::default()).err().expect("an error").to_string()
    };
    assert!(error("\"layers\"", "\"mlp_ratios\"").contains("mlp_ratios"));
    assert!(error("\"num_classes\": 10", "\"num_classes\": 11").contains("head.fc.weight"));
    assert!(error("fastvit_t8", "fastvit_sa12").contains("fastvit_t8"));
}
