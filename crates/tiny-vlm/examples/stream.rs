//! Streams a caption within a time limit: `cargo run --release -p tiny-vlm --example stream -- IMAGE [LANGUAGE]`.

use std::io::Write as _;
use std::time::Duration;

use tiny_vlm::{Image, Lang, Model, Prompt, RequestOptions, Stop};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let image = Image::open(arguments.next().ok_or("usage: stream IMAGE [LANGUAGE]")?)?;
    let lang: Lang = arguments.next().as_deref().unwrap_or("en").parse()?;

    // A clone of the handle on another thread, behind a button say, cancels the request at any stage.
    let cancel = Stop::new();
    let options = RequestOptions::default().deadline(Duration::from_secs(5)).cancel(cancel.clone());

    let model = Model::embedded()?;
    let mut session = model.session();
    let mut stream = session.stream(Prompt::new().image(&image).caption(lang), &options)?;
    for piece in stream.by_ref() {
        print!("{}", piece?);
        std::io::stdout().flush()?;
    }
    println!();
    let answer = stream.answer()?;
    eprintln!(
        "{:?}, {} tokens, mean log-probability {:.3}",
        answer.finish, answer.usage.completion_tokens, answer.mean_logprob
    );
    Ok(())
}
