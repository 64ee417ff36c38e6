//! `classify` and `embed`: which class an image is of, and the vector that a model makes of it.

use std::{process::ExitCode, time::Duration};

use tiny_vlm::{Error, Image, ImageModel};

use crate::{
    args::Args,
    failure::Failure,
    input, interrupt, json,
    meter::Meter,
    model,
    output::Output,
    stats,
    words::{Words, printable},
};

/// `classify --model DIR IMAGE... [--top N | --json]`.
pub(crate) fn classify(args: &Args, words: Words, output: &mut Output) -> Result<ExitCode, Failure> {
    each(args, words, output, |model, image, name, meter, output| {
        let made = model.classify_with(image, &args.request, meter)?;
        let lines = match args.json {
            true => vec![json::classification(&[name.text], &made, args.top)],
            false => made
                .top(args.top)
                .iter()
                .map(|class| format!("{}{:.4}\t{}", name.column(), class.probability, printable(class.label)))
                .collect(),
        };
        Ok((made.elapsed, lines.iter().try_for_each(|line| output.line(line))))
    })
}

/// `embed --model DIR IMAGE... [--json]`.
pub(crate) fn embed(args: &Args, words: Words, output: &mut Output) -> Result<ExitCode, Failure> {
    each(args, words, output, |model, image, name, meter, output| {
        let made = model.embed_with(image, &args.request, meter)?;
        let line = match args.json {
            true => json::embedding(&[name.text], &made),
            false => {
                let values: Vec<String> = made.values.iter().map(f32::to_string).collect();
                format!("{}{}", name.column(), values.join(" "))
            }
        };
        Ok((made.elapsed, output.line(&line)))
    })
}

/// What an image is called, and whether each line says so.
struct Name<'a> {
    text: &'a str,
    told: bool,
}

impl Name<'_> {
    /// A column of its own where there are several images.
    fn column(&self) -> String {
        if self.told { format!("{}\t", printable(self.text)) } else { String::new() }
    }
}

/// How long the model took, and how writing what it made went.
type Done = (Duration, Result<(), Failure>);

/// Does `work` with one image after the other.
fn each(
    args: &Args,
    words: Words,
    output: &mut Output,
    work: impl Fn(&ImageModel, &Image, Name<'_>, &Meter, &mut Output) -> Result<Done, Error>,
) -> Result<ExitCode, Failure> {
    interrupt::cancel_on_interrupt(&args.request.cancel);
    let images = args.operands.iter().map(|operand| input::image(operand, args.limits));
    let images: Vec<_> = images.collect::<Result<_, _>>()?;
    let model = model::load_images(args, &args.load_options())?;
    let told = images.len() > 1;
    for encoded in images {
        let name = encoded.name.clone();
        let (image, decode_time) = encoded.decode(|limits| model.image_options(limits))?;
        let meter = Meter::new(words);
        interrupt::answering(true);
        let done = work(&model, &image, Name { text: &name, told }, &meter, output);
        interrupt::answering(false);
        let (elapsed, written) = done.map_err(|error| Failure::from(error).on(&name))?;
        written?;
        if args.stats {
            stats::report_reading(model.load_time(), decode_time, elapsed, words);
        }
    }
    Ok(ExitCode::SUCCESS)
}
