//! The network that reads a strip: convolutions until a strip is one cell high, then attention along the line.
//!
//! In the way of CRNN (Shi et al., 2015, arXiv:1507.05717), with attention in place of recurrence. A cell is four pixels
//! wide; each gets a score for every character and for the blank.

use tiny_vlm_layers::{Activation, Conv2d, ConvShape, EncoderBlock, LayerNorm, Linear, ScratchTensor};
use tiny_vlm_tensor::{Context, View};
use tiny_vlm_weights::Scope;

use super::ctc::{Transcript, transcribe};
use crate::lines::Strip;
use crate::parts::{Stage, block, conv, stem, tokens};
use crate::{ReaderConfig, VisionError};

/// Reads strips of print.
#[derive(Debug)]
pub struct Reader {
    stem: [Conv2d; 2],
    stage1: Stage,
    down1: Conv2d,
    stage2: Stage,
    down2: Conv2d,
    stage3: Stage,
    collapse: Conv2d,
    blocks: Vec<EncoderBlock>,
    norm: LayerNorm,
    out: Linear,
    characters: Vec<char>,
    config: ReaderConfig,
}

impl Reader {
    /// Reads the network below `scope`.
    pub fn load(scope: &Scope<'_>, config: &ReaderConfig) -> Result<Self, VisionError> {
        config.check()?;
        let [w2, w4, w8, w16, w32] = config.widths;
        let [d1, d2, d3] = config.depths;
        let characters: Vec<char> = config.characters.chars().collect();
        let upright = ConvShape { kernel: [2, 1], stride: [2, 1], ..ConvShape::square(1, 1, 0) };
        let collapse = Conv2d::load(&scope.scope("collapse"), [w16, w32], upright);
        let blocks = scope.scope("blocks");
        let blocks = (0..config.blocks)
            .map(|i| block(&blocks.scope(i), w32, config.heads, config.mlp, config.norm_eps))
            .collect::<Result<_, _>>()?;
        Ok(Reader {
            stem: stem(&scope.scope("stem"), 1, [w2, w4]),
            stage1: Stage::load(&scope.scope("stage1"), w4, d1),
            down1: conv(&scope.scope("down1"), [w4, w8], [2, 1]),
            stage2: Stage::load(&scope.scope("stage2"), w8, d2),
            down2: conv(&scope.scope("down2"), [w8, w16], [2, 1]),
            stage3: Stage::load(&scope.scope("stage3"), w16, d3),
            collapse: collapse.with_activation(Activation::Gelu),
            blocks,
            norm: LayerNorm::load(&scope.scope("norm"), w32, config.norm_eps),
            out: Linear::load(&scope.scope("out"), w32, characters.len() + 1, true),
            characters,
            config: config.clone(),
        })
    }

    /// Height of the strips that it reads.
    pub fn height(&self) -> usize {
        self.config.strip
    }

    /// Whether a line was read well enough to be told.
    pub fn is_legible(&self, read: &Transcript) -> bool {
        let rules = &self.config;
        let characters = read.text.chars().count() as f64;
        characters > 0.0 && read.confidence >= (rules.legible + rules.brief / characters).min(rules.sure)
    }

    /// What a [normalised](Strip::normalise) strip says.
    pub fn read(&self, ctx: &Context<'_>, strip: &Strip) -> Result<Transcript, VisionError> {
        Ok(transcribe(self.logits(ctx, strip)?.view(), &self.characters))
    }

    /// Scores `[width / 4, characters + 1]` of a strip; the first of a cell's is the blank's.
    pub fn logits<'a>(&self, ctx: &Context<'a>, strip: &Strip) -> Result<ScratchTensor<'a, 2>, VisionError> {
        let [first, second] = &self.stem;
        let x = View::new([self.config.strip, strip.width, 1], &strip.pixels)?;
        let x = first.apply(ctx, x)?;
        let x = second.apply(ctx, x.view())?;
        let x = self.stage1.apply(ctx, x)?;
        let x = self.down1.apply(ctx, x.view())?;
        let x = self.stage2.apply(ctx, x)?;
        let x = self.down2.apply(ctx, x.view())?;
        let x = self.stage3.apply(ctx, x)?;
        let x = self.collapse.apply(ctx, x.view())?;
        let mut x = tokens(x)?;
        for block in &self.blocks {
            block.forward(ctx, x.view_mut())?;
        }
        let x = self.norm.apply(ctx, x.view())?;
        let mut logits = ScratchTensor::new(ctx, [x.shape()[0], self.out.outputs()])?;
        self.out.forward(ctx, x.view(), logits.view_mut())?;
        Ok(logits)
    }
}
