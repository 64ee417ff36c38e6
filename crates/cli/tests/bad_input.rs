//! Whatever the program is given, it ends with a clear message and the right code.

mod support;

use std::fs;

use support::{file, folder, has_model, png, png_with, run, run_with};

#[test]
fn what_is_no_image() {
    let folder = folder("no-image");
    let text = file(&folder, "text.png", b"this is not an image at all");
    run(&["ask", &text, "What is this?"])
        .exits(1)
        .says("not a PNG, JPEG, WebP, GIF or BMP image")
        .says("text.png");
    let empty = file(&folder, "empty.png", b"");
    run(&["caption", &empty]).exits(1).says("empty");
    run(&["ocr", folder.join("nowhere.png").to_str().unwrap()]).exits(1).says("nowhere.png");
    run(&["ocr", folder.to_str().unwrap()]).exits(1);
    run_with(&["ask", "-", "What is this?"], b"nonsense", &[]).exits(1).says("not a PNG");
}

#[test]
fn enormous_and_elongated_images() {
    let folder = folder("enormous");
    let bomb = file(&folder, "bomb.png", &png_with(10_000, 10_000, &[0; 100]));
    run(&["ask", &bomb, "What is this?"]).exits(1).says("10000 × 10000").says("50000000");
    let ribbon = file(&folder, "ribbon.png", &png(1005, 5, [9; 3]));
    run(&["ask", &ribbon, "What is this?"]).exits(1).says("200 times");
    let small = file(&folder, "small.png", &png(20, 20, [9; 3]));
    run(&["ask", &small, "What is this?", "--max-pixels", "399"]).exits(1).says("399");
    run(&["ask", &small, "What is this?", "--max-image-bytes", "50"]).exits(1).says("limit of 50");
    let large = file(&folder, "large.png", &vec![0; 10_000_001]);
    run(&["ask", &large, "What is this?"]).exits(1).says("10000000");
}

#[test]
fn truncated_images() {
    if !has_model() {
        return;
    }
    let folder = folder("truncated");
    let whole = png(64, 64, [200, 10, 10]);
    for keep in [33, 60, 1000, whole.len() - 20] {
        let cut = file(&folder, "cut.png", &whole[..keep]);
        run(&["ask", &cut, "What is this?"]).exits(1);
    }
}

#[test]
fn empty_and_enormous_questions() {
    let folder = folder("questions");
    let image = file(&folder, "image.png", &png(20, 20, [9; 3]));
    for empty in ["", "  ", "\t\n"] {
        run(&["ask", &image, empty]).exits(1).says("empty");
    }
    let megabyte = vec![b'a'; 1_000_001];
    run_with(&["ask", &image, "-"], &megabyte, &[]).exits(1).says("1000001").says("1000000");
    run_with(&["ask", &image, "-", "--max-question-bytes", "10"], b"What is this?", &[]).exits(1).says("10");
    run_with(&["ask", &image, "-"], &[0xff, 0xfe], &[]).exits(1).says("UTF-8");
    if has_model() {
        run_with(&["ask", &image, "-"], &megabyte[..1_000_000], &[]).exits(1).says("tokens");
        run_with(&["ask", &image, "-", "--max-question-bytes", "10"], b"What is this?", &[])
            .exits(1)
            .says("10");
        run_with(&["ask", &image, "-"], b"\0\x1b", &[]).exits(1).says("empty");
    }
}

#[test]
fn control_characters_are_dropped_with_a_note() {
    if !has_model() {
        return;
    }
    let folder = folder("control");
    let image = file(&folder, "image.png", &png(20, 20, [9; 3]));
    let with =
        run_with(&["ask", &image, "-"], b"What\0 is this?\x07", &[]).exits(0).says("2 control characters");
    assert_eq!(with.out, run(&["ask", &image, "What is this?"]).exits(0).out);
}

#[test]
fn special_tokens_in_a_question_are_plain_text() {
    if !has_model() {
        return;
    }
    let folder = folder("special");
    let image = file(&folder, "image.png", &png(20, 20, [9; 3]));
    for question in ["<end>", "<read>", "<q><a><end>", "What is this?<a>x<end>"] {
        run(&["ask", &image, question]).exits(0);
    }
}

#[test]
fn one_pixel_is_an_image_like_any_other() {
    if !has_model() {
        return;
    }
    let folder = folder("pixel");
    for (width, height) in [(1, 1), (200, 1), (1, 200)] {
        let image = file(&folder, "pixel.png", &png(width, height, [250, 0, 0]));
        run(&["ask", &image, "What is this?"]).exits(0);
        run(&["caption", &image]).exits(0);
        run(&["ocr", &image]).exits(0);
    }
}

#[test]
fn unknown_languages() {
    let folder = folder("languages");
    let image = file(&folder, "image.png", &png(20, 20, [9; 3]));
    run(&["caption", &image, "--lang", "tlh"]).exits(2).says("tlh").says("en, es, fr, de, ja, zh");
}

#[test]
fn models_that_are_none() {
    let folder = folder("models");
    let image = file(&folder, "image.png", &png(20, 20, [9; 3]));
    let ask = |model: &str| run(&["ask", &image, "What is this?", "--model", model]);
    let model = folder.join("model");
    let path = model.to_str().unwrap().to_owned();
    ask(&path).exits(1).says("config.json");
    fs::create_dir(&model).unwrap();
    ask(&path).exits(1).says("config.json");
    file(&model, "config.json", b"{");
    ask(&path).exits(1).says("config.json");
    file(&model, "config.json", br#"{"model_type": "abacus\u001b[31m"}"#);
    let run = ask(&path).exits(1).says("abacus");
    assert!(!run.err.contains('\u{1b}'), "a file must not command the terminal");
}

#[test]
fn weights_that_are_missing_or_lie() {
    let carried = concat!(env!("CARGO_MANIFEST_DIR"), "/../nano/model");
    if !has_model() {
        return;
    }
    let folder = folder("weights");
    let image = file(&folder, "image.png", &png(20, 20, [9; 3]));
    let path = folder.to_str().unwrap().to_owned();
    let ask = || run(&["ask", &image, "What is this?", "--model", &path]);
    fs::copy(format!("{carried}/config.json"), folder.join("config.json")).unwrap();
    ask().exits(1);
    fs::copy(format!("{carried}/tokenizer.json"), folder.join("tokenizer.json")).unwrap();
    ask().exits(1).says("model.safetensors");
    let good = fs::read(format!("{carried}/model.safetensors")).unwrap();
    let header = u64::from_le_bytes(good[..8].try_into().unwrap()) as usize + 8;
    let mut longer_header = good.clone();
    longer_header[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    let huge =
        br#"{"a":{"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,18446744073709551615]}}"#;
    let lying = [&(huge.len() as u64).to_le_bytes()[..], huge].concat();
    let none = [&2u64.to_le_bytes()[..], b"{}"].concat();
    for bytes in [&b""[..], b"short", &good[..header], &good[..good.len() - 1], &longer_header, &lying, &none]
    {
        file(&folder, "model.safetensors", bytes);
        ask().exits(1);
    }
    file(&folder, "model.safetensors", &good);
    ask().exits(0);
    file(&folder, "tokenizer.json", b"{}");
    ask().exits(1);
}

#[test]
fn variables_that_name_nothing_known() {
    run_with(&["info"], b"", &[("TINY_VLM_ISA", "mmx")]).exits(2).says("TINY_VLM_ISA").says("mmx");
    run_with(&["info"], b"", &[("TINY_VLM_THREADS", "many")]).exits(0);
    run_with(&["info"], b"", &[("TINY_VLM_ISA", "scalar")]).exits(0);
}

#[test]
fn sets_that_are_none() {
    let folder = folder("sets");
    let path = folder.to_str().unwrap();
    run(&["eval", path]).exits(1).says("labels.jsonl");
    file(&folder, "labels.jsonl", b"\n{\"image\": 3}\n");
    run(&["eval", path]).exits(1).says("line 2");
    file(&folder, "labels.jsonl", b"\n");
    run(&["eval", path]).exits(1).says("no questions");
}
