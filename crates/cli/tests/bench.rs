//! `bench`: a figure for each stage, of models of either kind.

mod support;

use std::collections::BTreeMap;

use serde_json::Value;
use support::{file, folder, has_model, png, run};

fn model(name: &str) -> String {
    format!("{}/../../fixtures/models/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// The figures by their names, each held to what every figure is.
fn figures(out: &str, runs: u64) -> BTreeMap<String, f64> {
    let figure = |line: &str| {
        let figure: Value = serde_json::from_str(line).unwrap();
        let number = |name: &str| figure[name].as_f64().unwrap();
        let (min, median, max) = (number("min"), number("median"), number("max"));
        assert!(0.0 < min && min <= median && median <= max, "{line}");
        let what = figure["what"].as_str().unwrap().to_owned();
        let n = if what == "peak memory" { 1 } else { runs };
        assert_eq!(figure["n"].as_u64(), Some(n), "{line}");
        let unit = match what.split(' ').next().unwrap() {
            "peak" => "MB",
            "prefill" | "decode" => "tokens/s",
            _ => "ms",
        };
        assert_eq!(figure["unit"], unit, "{line}");
        (what, median)
    };
    out.lines().map(figure).collect()
}

/// What there is besides the memory, which not every system tells.
fn stages(figures: &BTreeMap<String, f64>) -> Vec<&str> {
    figures.keys().map(String::as_str).filter(|what| *what != "peak memory").collect()
}

#[test]
fn the_model_that_is_carried_is_timed() {
    if !has_model() {
        return;
    }
    let done = run(&["bench", "--runs", "2", "--json", "--threads", "1"]).exits(0);
    let figures = figures(&done.out, 2);
    let expected = ["decode 64 after 128", "encode", "first token", "load", "prefill 256"];
    assert_eq!(stages(&figures), expected);
    assert!(figures["encode"] < figures["first token"], "{figures:?}");
    assert_eq!(cfg!(target_os = "linux"), figures.contains_key("peak memory"));
    assert!(done.err.is_empty());
}

#[test]
fn each_family_is_timed() {
    let image = file(&folder("bench"), "image.png", &png(90, 60, [9, 99, 200]));
    for (name, question) in [("smolvlm-tiny", "What?"), ("fastvlm", "What?"), ("florence2", "<CAPTION>")] {
        let model = model(name);
        let arguments = ["bench", &model, "--runs", "1", "--json", "--image", &image, "--question", question];
        let figures = figures(&run(&arguments).exits(0).out, 1);
        assert_eq!(stages(&figures).len(), 5, "{name}: {figures:?}");
        // Where there is little room, as in this Florence-2, less is written.
        let written = if name == "florence2" { "decode 32 after 32" } else { "decode 64 after 128" };
        assert!(figures.contains_key(written), "{name}: {figures:?}");
    }
    for name in ["resnet-basic", "fastvit-t8"] {
        let model = model(name);
        let figures = figures(&run(&["bench", "--model", &model, "--runs", "3", "--json"]).exits(0).out, 3);
        assert_eq!(stages(&figures), ["image", "load"], "{name}");
    }
}

#[test]
fn a_person_gets_a_table() {
    let model = model("smolvlm-tiny");
    let table = |lang| run(&["bench", &model, "--runs", "1", "--lang", lang]).exits(0).out;
    let english = table("en");
    assert!(english.starts_with("smolvlm, "), "{english}");
    assert!(english.contains("median") && english.contains("read 256 tokens"), "{english}");
    assert!(table("de").contains("64 Token nach 128 schreiben"));
    assert!(table("zh").contains("中位数"));
}

#[test]
fn what_cannot_be_timed_is_said() {
    let model = model("smolvlm-tiny");
    run(&["bench", "no/such/folder"]).exits(1).says("config.json");
    run(&["bench", &model, "--image", "nowhere.png"]).exits(1).says("nowhere.png");
    run(&["bench", &model, "--question", " "]).exits(1).says("empty");
    run(&["bench", &model, "--runs", "none"]).exits(2).says("--runs");
    let text = file(&folder("bench-no-image"), "text.png", b"nonsense");
    run(&["bench", &model, "--image", &text]).exits(1).says("text.png");
}
