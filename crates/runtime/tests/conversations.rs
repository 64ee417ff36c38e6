//! Conversations with a small published family: what one turn has computed serves the next, and the answers are those
//! of a conversation that is computed from its beginning each time.

use std::path::PathBuf;

use tiny_vlm_image::Image;
use tiny_vlm_runtime::{
    Answer, Detail, ErrorKind, LoadOptions, Model, Precision, Prompt, RequestOptions, Session,
};

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/models")
}

fn model(precision: Precision) -> Model {
    let options = LoadOptions::default().precision(precision).threads(2);
    Model::open_with(fixtures().join("smolvlm-tiny"), &options).unwrap()
}

fn image(name: &str) -> Image {
    Image::open(fixtures().join("smolvlm-images").join(name)).unwrap()
}

fn options() -> RequestOptions {
    RequestOptions::default().max_tokens(12)
}

fn ask(session: &mut Session, prompt: Prompt<'_>) -> Answer {
    session.stream(prompt, &options()).unwrap().answer().unwrap()
}

#[test]
fn turns_go_on_from_what_was_computed_before() {
    let (model, small, dot) = (model(Precision::F32), image("small.png"), image("dot.png"));
    let prompts = || {
        [
            Prompt::new().image(&small).text("What is this?"),
            Prompt::new().text("How many are there?"),
            Prompt::new().image(&dot).text("And this?"),
            Prompt::new().text("Sure?"),
        ]
    };
    // A stream that is dropped before its end takes what was computed with it, and leaves the conversation as it was.
    let (mut going, mut anew) = (model.session(), model.session());
    for (turn, (prompt, again)) in prompts().into_iter().zip(prompts()).enumerate() {
        let answer = ask(&mut going, prompt);
        if turn > 0 {
            let mut dropped = anew.stream(Prompt::new().text("Forget it."), &options()).unwrap();
            dropped.next().unwrap().unwrap();
        }
        let expected = ask(&mut anew, again);
        assert_eq!(answer.text, expected.text, "turn {turn}");
        assert_eq!(expected.usage.reused_tokens, 0);
        // The images and questions so far, at least.
        let least = [0, 45, 60, 100][turn];
        assert!(answer.usage.reused_tokens >= least, "turn {turn}: {:?}", answer.usage);
        assert!((answer.mean_logprob - expected.mean_logprob).abs() < 1e-4);
    }
    going.reset();
    assert_eq!(ask(&mut going, Prompt::new().image(&dot).text("This?")).usage.reused_tokens, 0);
}

#[test]
fn images_beyond_the_context_are_refused_before_they_are_looked_at() {
    let model = model(Precision::Int8);
    let wide = image("landscape.png");
    // 10 tiles of 4 tokens each, in a context of 2048.
    let prompt = (0..60).fold(Prompt::new(), |prompt, _| prompt.image(&wide)).text("What?");
    let mut session = model.session();
    let error = session.stream(prompt.clone(), &options()).err().expect("an error");
    assert_eq!((error.code(), error.kind()), ("question-too-long", ErrorKind::Capacity));
    let mut low = options();
    low.shape.detail = Detail::Low;
    let usage = session.stream(prompt, &low).unwrap().usage();
    assert_eq!(usage.image_tokens, 60 * 4);
}

/// An image that was shown stays shown when the answer about it is not wanted any more.
#[test]
fn a_dropped_stream_leaves_its_images() {
    let (model, dot) = (model(Precision::F32), image("dot.png"));
    let expected = ask(&mut model.session(), Prompt::new().image(&dot).text("What is this?"));
    let mut session = model.session();
    drop(session.stream(Prompt::new().image(&dot).text("Forget it."), &options()).unwrap());
    let answer = ask(&mut session, Prompt::new().text("What is this?"));
    assert_eq!((answer.text, answer.usage.image_tokens), (expected.text, expected.usage.image_tokens));
    // A question that does not fit takes its image with it.
    let long = "why ".repeat(2000);
    assert!(session.stream(Prompt::new().image(&dot).text(long), &options()).is_err());
    assert_eq!(ask(&mut session, Prompt::new().text("And?")).usage.image_tokens, expected.usage.image_tokens);
}

#[test]
fn four_bits_answer() {
    let answer =
        ask(&mut model(Precision::Int4).session(), Prompt::new().image(&image("dot.png")).text("What?"));
    assert!(answer.usage.completion_tokens > 0);
    assert!(!answer.text.starts_with(char::is_whitespace));
}
