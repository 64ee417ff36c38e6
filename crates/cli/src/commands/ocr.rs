//! `ocr`: the print on images.

use std::{process::ExitCode, sync::Arc};

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

/// `ocr IMAGE... [--lines | --json]`.
pub(crate) fn ocr(args: &Args, words: Words, output: &mut Output) -> Result<ExitCode, Failure> {
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
        let reading = session.read(&image, &args.request);
        interrupt::answering(false);
        drop(session);
        let reading = reading.map_err(|error| Failure::from(error).on(&name))?;
        if args.json {
            output.line(&json::reading(&[&name], &reading))?;
        } else if args.lines {
            for line in &reading.lines {
                let corners: Vec<String> = line.quad.iter().map(|[x, y]| format!("{x:.0},{y:.0}")).collect();
                output.line(&format!(
                    "{}\t{:.2}\t{}",
                    corners.join(" "),
                    line.confidence,
                    printable(&line.text)
                ))?;
            }
        } else if !reading.lines.is_empty() {
            output.answer(&reading.text())?;
            output.text("\n")?;
        }
        if args.stats {
            stats::report_reading(model.load_time(), decode_time, reading.elapsed, words);
        }
    }
    Ok(ExitCode::SUCCESS)
}
