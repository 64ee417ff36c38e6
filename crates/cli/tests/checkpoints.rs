//! Commands about checkpoints: what `quantize` writes answers as before, and `inspect` tells what a folder has and lacks.

mod support;

use std::fs;

use support::{file, folder, has_model, png, run};

#[test]
fn a_quantized_model_answers_as_the_one_it_was_made_of() {
    if !has_model() {
        return;
    }
    let folder = folder("quantized");
    let image = file(&folder, "image.png", &png(64, 64, [220, 30, 30]));
    let out = folder.join("out").to_str().unwrap().to_owned();
    let done = run(&["quantize", "-o", &out, "--json"]).exits(0);
    let done: serde_json::Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(done["version"], 1);
    assert_eq!(done["matrices"][0]["precision"], "int8");
    let size = fs::metadata(folder.join("out/model.safetensors")).unwrap().len();
    assert_eq!(done["bytes"].as_u64(), Some(size));

    let asked = run(&["ask", &image, "What is this?"]).exits(0).out;
    assert_eq!(run(&["ask", &image, "What is this?", "--model", &out]).exits(0).out, asked);

    // Once more, in fewer bits, from what was written.
    let smaller = folder.join("smaller").to_str().unwrap().to_owned();
    run(&["quantize", &out, "-o", &smaller, "--weights", "int4", "--lang", "de"]).exits(0);
    assert!(fs::metadata(folder.join("smaller/model.safetensors")).unwrap().len() < size);
    run(&["ask", &image, "What is this?", "--model", &smaller]).exits(0);

    run(&["quantize", "-o", &out]).exits(1).says("cannot write");
    run(&["quantize"]).exits(2).says("-o DIR");
    let least = run(&["quantize", "-o", folder.join("tiny").to_str().unwrap(), "--bytes", "1000"]);
    least.exits(1).says("1000 bytes");
}

#[test]
fn a_folder_is_listed_with_what_it_lacks() {
    if !has_model() {
        return;
    }
    let all = run(&["inspect", "--json"]).exits(0);
    let all: serde_json::Value = serde_json::from_str(&all.out).unwrap();
    assert_eq!((all["version"].as_u64(), all["fits"].as_bool()), (Some(1), Some(true)));
    assert!(all["parameters"].as_u64().unwrap() > 1_000_000 && all["problem"].is_null());
    let listed = run(&["inspect"]).exits(0).out;
    assert!(listed.contains("decoder.embed.weight") && listed.contains("tiny-vlm-nano"));

    let folder = folder("inspected");
    let out = folder.join("out");
    run(&["quantize", "-o", out.to_str().unwrap()]).exits(0);
    let config = fs::read_to_string(out.join("config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
    config["decoder"]["num_hidden_layers"] = 9.into();
    file(&out, "config.json", config.to_string().as_bytes());
    let path = out.to_str().unwrap();
    let lacking = run(&["inspect", path]).exits(1).out;
    assert!(lacking.contains("missing: decoder.layers.8."), "{lacking}");
    let lacking = run(&["inspect", path, "--json"]).exits(1).out;
    let lacking: serde_json::Value = serde_json::from_str(&lacking).unwrap();
    assert!(lacking["missing"].as_array().unwrap().len() > 10);
    fs::remove_file(out.join("config.json")).unwrap();
    let headless = run(&["inspect", path]).exits(1).out;
    assert!(headless.contains("config.json") && headless.contains("decoder.embed.weight"));
    run(&["inspect", "/no/such/folder"]).exits(1).says("/no/such/folder");
}
