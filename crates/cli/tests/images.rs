//! `classify` and `embed` as a user meets them.

#[allow(dead_code, reason = "these models are named")]
mod support;

use serde_json::Value;
use support::{file, folder, png, run, run_with};

fn model(name: &str) -> String {
    format!("{}/../../fixtures/models/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn picture(name: &str) -> String {
    format!("{}/../../fixtures/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn object(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn classes_come_likeliest_first() {
    for name in ["resnet-basic", "resnet50-timm"] {
        let (model, page) = (model(name), picture("nano/images/page.png"));
        let plain = run(&["classify", "--model", &model, &page, "--top", "3"]).exits(0);
        assert_eq!(plain.out.lines().count(), 3);
        let told = run(&["classify", "--model", &model, &page, "--json", "--top", "100"]).exits(0).out;
        let told = object(&told);
        let classes = told["classes"].as_array().unwrap();
        assert_eq!((told["version"].as_u64(), classes.len()), (Some(1), 7));
        let probability = |class: &Value| class["probability"].as_f64().unwrap();
        assert!(classes.windows(2).all(|pair| probability(&pair[0]) >= probability(&pair[1])));
        assert!((classes.iter().map(probability).sum::<f64>() - 1.0).abs() < 1e-5);
        let first = format!("{:.4}\t{}", probability(&classes[0]), classes[0]["label"].as_str().unwrap());
        assert_eq!(plain.out.lines().next().unwrap(), first);
    }
}

#[test]
fn several_images_are_told_apart() {
    let (model, page, narrow) =
        (model("resnet-basic"), picture("nano/images/page.png"), picture("nano/images/narrow.png"));
    let one = |image: &str| run(&["embed", "--model", &model, image]).exits(0).out;
    let both = run(&["embed", "--model", &model, &page, &narrow]).exits(0).out;
    assert_eq!(both, format!("{page}\t{}{narrow}\t{}", one(&page), one(&narrow)));
    assert_ne!(one(&page), one(&narrow));
    let classes = run(&["classify", "--model", &model, &page, &narrow, "--top", "2"]).exits(0).out;
    assert_eq!(classes.lines().count(), 4);
    assert!(classes.lines().nth(2).unwrap().starts_with(&format!("{narrow}\t0.")));
}

#[test]
fn vectors_have_as_many_numbers_as_the_model_says() {
    let (model, page) = (model("resnet50-timm"), picture("nano/images/page.png"));
    let info = object(&run(&["info", "--model", &model, "--json"]).exits(0).out);
    assert_eq!(info["image_model"]["classes"], 7);
    assert!(info["model"].is_null());
    assert!(run(&["info", "--model", &model]).exits(0).out.contains("64 × 64"));
    let made = object(&run(&["embed", "--model", &model, &page, "--json"]).exits(0).out);
    let values = made["values"].as_array().unwrap();
    assert_eq!(values.len() as u64, info["image_model"]["features"].as_u64().unwrap());
    for threads in ["1", "3"] {
        let again = run(&["embed", "--model", &model, &page, "--json", "--threads", threads]).exits(0).out;
        assert_eq!(object(&again)["values"], made["values"]);
    }
}

#[test]
fn mistakes_are_told() {
    let (model, page) = (model("resnet-basic"), picture("nano/images/page.png"));
    run(&["classify", &page]).exits(2).says("--model DIR");
    run(&["embed", "--model", &model]).exits(2).says("IMAGE");
    run(&["embed", "--model", &model, "nowhere.png"]).exits(1).says("nowhere.png");
    run(&["classify", "--model", "no/such/folder", &page]).exits(1).says("config.json");
    run(&["classify", "--model", &model, &page, "--deadline", "0.000001ms"]).exits(1).says("deadline");
    run(&["ask", "--model", &model, &page, "What is this?"]).exits(1).says("resnet");
    run_with(&["classify", "--model", &model, "-"], b"nonsense", &[]).exits(1).says("not a PNG");
    let folder = folder("image-models");
    file(&folder, "config.json", br#"{"model_type": "abacus"}"#);
    let path = folder.to_str().unwrap();
    run(&["classify", "--model", path, &page]).exits(1).says("abacus").says("resnet50");
    run(&["info", "--model", path]).exits(1).says("abacus");
}

#[test]
fn pictures_of_any_size_are_classified() {
    let model = model("resnet-basic");
    let folder = folder("any-size");
    for (width, height) in [(1, 1), (200, 1), (1, 200), (64, 64)] {
        let image = file(&folder, "image.png", &png(width, height, [9, 99, 200]));
        let stats = run(&["classify", "--model", &model, &image, "--stats"]).exits(0).says("ms");
        assert_eq!(stats.out.lines().count(), 5);
    }
}
