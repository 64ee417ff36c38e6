//! Florence-2's answers through a session: searched by beams as published, streamed, stopped, with their regions. The
//! checkpoint and the texts are `fixtures/golden/florence2.py`'s.

use std::{fs, path::PathBuf};

use tiny_vlm_image::Image;
use tiny_vlm_runtime::{
    Error, FinishReason, Lang, LoadOptions, Model, Note, Precision, Prompt, RegionShape, RequestOptions,
};

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

fn model(precision: Precision) -> Model {
    let folder = fixtures().join("models/florence2");
    Model::open_with(folder, &LoadOptions::default().precision(precision).threads(2)).unwrap()
}

fn picture() -> Image {
    Image::open(fixtures().join("images/market.png")).unwrap()
}

/// The reference's text for a prompt, without the tokens around it.
fn text(prompt: &str, way: usize) -> String {
    let about = fs::read(fixtures().join("models/florence2/golden.json")).unwrap();
    let about: serde_json::Value = serde_json::from_slice(&about).unwrap();
    let case = about["answers"].as_array().unwrap().iter().find(|case| case["prompt"] == prompt).unwrap();
    let text = case["answers"][way]["text"].as_str().unwrap();
    text.replace("<s>", "").replace("</s>", "")
}

fn published() -> RequestOptions {
    RequestOptions::default().max_tokens(24)
}

#[test]
fn answers_are_the_references_and_stream_as_they_are() {
    let model = model(Precision::F32);
    for prompt in ["<OD>", "<CAPTION>", "What is this?"] {
        let answer = model.ask_with(&picture(), prompt, &published()).unwrap();
        assert_eq!(answer.text, text(prompt, 0));
        // The end was forced for want of room.
        assert_eq!((answer.finish, answer.usage.completion_tokens), (FinishReason::Length, 24));
        assert!(answer.mean_logprob < 0.0 && answer.mean_logprob.is_finite());
        let (mut session, image) = (model.session(), picture());
        let stream = session.stream(Prompt::new().image(&image).text(prompt), &published()).unwrap();
        let pieces: Vec<String> = stream.map(Result::unwrap).collect();
        assert_eq!(pieces.concat(), answer.text);
        assert!(pieces.iter().all(|piece| !piece.is_empty()));
    }
    // One text alone takes the likeliest token each time.
    let options = RequestOptions::default().max_tokens(12).num_beams(1);
    assert_eq!(model.ask_with(&picture(), "<OD>", &options).unwrap().text, text("<OD>", 4));
    let usage = model.ask_with(&picture(), "<CAPTION>", &options).unwrap().usage;
    assert_eq!((usage.image_tokens, usage.prompt_tokens), (10, 9));
}

#[test]
fn things_are_regions_of_the_picture() {
    let model = model(Precision::F32);
    let answer = model.detect(&picture()).unwrap();
    let found = answer.text.matches("<loc_").count() / 4;
    assert!(!answer.regions.is_empty() && answer.regions.len() <= found, "{:?}", answer.text);
    let (width, height) = (picture().width() as f32, picture().height() as f32);
    for region in &answer.regions {
        assert!(matches!(region.shape, RegionShape::Box(_)) && region.score.is_none());
        let [left, top, right, bottom] = region.shape.bounds().unwrap();
        assert!((0.0..width).contains(&left) && (0.0..width).contains(&right));
        assert!((0.0..height).contains(&top) && (0.0..height).contains(&bottom));
    }
    let reading = model.read(&picture()).unwrap();
    assert!(reading.lines.iter().all(|line| (0.0..=1.0).contains(&line.confidence)));
    let caption = model.caption(&picture(), Lang::Fr).unwrap();
    assert_eq!((caption.notes, caption.regions.len()), (vec![Note::EnglishOnly], 0));
}

#[test]
fn a_search_that_is_stopped_gives_what_it_has() {
    let model = model(Precision::Int8);
    let options = RequestOptions::default().max_tokens(50);
    let (mut session, image) = (model.session(), picture());
    let mut stream = session.stream(Prompt::new().image(&image).text("<OCR>"), &options).unwrap();
    let first = stream.next().unwrap().unwrap();
    stream.stop_handle().cancel();
    let answer = stream.answer().unwrap();
    assert_eq!(answer.finish, FinishReason::Cancelled);
    assert!(answer.text.starts_with(&first) && answer.usage.completion_tokens <= 50);
    let stopped = RequestOptions::default();
    stopped.cancel.cancel();
    assert_eq!(model.ask_with(&picture(), "<OCR>", &stopped).unwrap_err().code(), "cancelled");
}

#[test]
fn what_cannot_be_asked_is_said() {
    let model = model(Precision::Bf16);
    let code = |question: &str| model.ask(&picture(), question).unwrap_err().code();
    assert_eq!(code("<OD> please"), "task-alone");
    assert_eq!(code(&"very ".repeat(100)), "question-too-long");
    let options = RequestOptions::default().num_beams(3).temperature(1.0);
    let error = model.ask_with(&picture(), "<OD>", &options).unwrap_err();
    assert!(matches!(error, Error::Parameter { name: "num_beams", .. }));
    // Chance alone is fine, and starts where its seed says.
    let options = RequestOptions::default().temperature(1.0).seed(3).max_tokens(9);
    let say = || model.ask_with(&picture(), "<OD>", &options).unwrap().text;
    assert_eq!(say(), say());
}
