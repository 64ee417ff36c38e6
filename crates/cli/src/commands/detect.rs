//! `detect`: the things on images, and where they are.

use std::{process::ExitCode, sync::Arc};

use tiny_vlm::{FinishReason, Prompt, Region};

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

/// `detect IMAGE... [--json]`.
pub(crate) fn detect(args: &Args, words: Words, output: &mut Output) -> Result<ExitCode, Failure> {
    interrupt::cancel_on_interrupt(&args.request.cancel);
    let images = args.operands.iter().map(|operand| input::image(operand, args.limits));
    let images: Vec<_> = images.collect::<Result<_, _>>()?;
    let model = model::load(args, &args.load_options().feature_cache_bytes(0))?;
    for encoded in images {
        let name = encoded.name.clone();
        let (image, decode_time) = encoded.decode(|limits| model.image_options(limits))?;
        let mut session = model.session();
        session.set_progress(Arc::new(Meter::new(words)));
        interrupt::answering(true);
        let prompt = Prompt::new().image(&image).detect();
        let answer = session.stream(prompt, &args.request).and_then(|stream| stream.answer());
        interrupt::answering(false);
        let answer = answer.map_err(|error| Failure::from(error).on(&name))?;
        if args.json {
            output.line(&json::answer(&[&name], &answer, decode_time, words))?;
        } else {
            for region in &answer.regions {
                output.line(&line(region))?;
            }
        }
        if args.stats {
            stats::report(&answer, decode_time, words);
        }
        if answer.finish == FinishReason::Cancelled {
            return Err(Failure::interrupt());
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Left, top, right and bottom, how sure it is where the model says, and the label.
fn line(region: &Region) -> String {
    let [left, top, right, bottom] = region.shape.bounds().unwrap_or_default();
    let score = region.score.map(|score| format!("{score:.2}\t")).unwrap_or_default();
    format!("{left:.0},{top:.0},{right:.0},{bottom:.0}\t{score}{}", printable(&region.label))
}

#[cfg(test)]
mod tests {
    use tiny_vlm::RegionShape;

    use super::*;

    #[test]
    fn a_region_is_a_line() {
        let shape = RegionShape::Polygons(vec![vec![[4.0, 9.0], [1.0, 2.0]], vec![[8.0, 3.0]]]);
        let region = Region { label: "a\tcar".to_owned(), shape, score: None };
        assert_eq!(line(&region), "1,2,8,9\ta car");
        assert_eq!(line(&Region { score: Some(0.5), ..region }), "1,2,8,9\t0.50\ta car");
    }
}
