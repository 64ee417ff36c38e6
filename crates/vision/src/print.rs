//! All the print of a picture: find lines, cut their strips, read them, put them in order.

use tiny_vlm_image::Image;
use tiny_vlm_tensor::Context;
use tiny_vlm_weights::Scope;

use crate::lines::{LinesFinder, Pyramid, merge_levels};
use crate::quad::Quad;
use crate::reader::Reader;
use crate::{LinesConfig, ReaderConfig, VisionError, reading_order};

/// A line of print that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// What it says.
    pub text: String,
    /// Where it is, in pixels of the picture: the strip's corners.
    pub quad: Quad,
    /// How sure the reader is of its characters, 0 to 1.
    pub confidence: f64,
    /// How sure the finder is that this is a line, 0 to 1.
    pub score: f64,
}

/// Finds and reads print.
#[derive(Debug)]
pub struct PrintReader {
    /// Where lines are.
    pub finder: LinesFinder,
    /// What they say.
    pub reader: Reader,
}

impl PrintReader {
    /// Reads both networks below `lines` and `reader` of `scope`.
    pub fn load(scope: &Scope<'_>, lines: &LinesConfig, reader: &ReaderConfig) -> Result<Self, VisionError> {
        let finder = LinesFinder::load(&scope.scope("lines"), lines)?;
        Ok(PrintReader { finder, reader: Reader::load(&scope.scope("reader"), reader)? })
    }

    /// The legible lines of a picture in reading order.
    pub fn read(&self, ctx: &Context<'_>, image: &Image) -> Result<Vec<Line>, VisionError> {
        let grey = image.to_grey();
        let found = self.finder.find(ctx, &grey)?;
        let mut pyramid = Pyramid::new(grey);
        let mut lines = Vec::new();
        for (done, line) in found.iter().enumerate() {
            ctx.progress.report("read", done, found.len());
            ctx.check()?;
            let mut strip = pyramid.cut_strip(&line.quad, self.reader.height())?;
            strip.normalise();
            let read = self.reader.read(ctx, &strip)?;
            if self.reader.is_legible(&read) {
                let (text, confidence) = (read.text, read.confidence);
                lines.push(Line { text, quad: line.quad, confidence, score: line.score });
            }
        }
        // A level at which a line is read badly may still be the one at which it is found most surely.
        let read: Vec<(Quad, f64)> = lines.iter().map(|line| (line.quad, line.confidence)).collect();
        let kept = merge_levels(&read);
        let quads: Vec<Quad> = kept.iter().map(|&line| lines[line].quad).collect();
        let mut lines: Vec<Option<Line>> = lines.into_iter().map(Some).collect();
        Ok(reading_order(&quads).into_iter().filter_map(|i| lines[kept[i]].take()).collect())
    }
}
