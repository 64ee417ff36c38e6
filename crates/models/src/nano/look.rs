//! Looking at a picture: things, glimpses of them, print, and the memory that the decoder attends to.

use tiny_vlm_fusion::{ObjectTokens, ObjectTokensConfig, POSITION_FEATURES, position_features};
use tiny_vlm_image::{Filter, Image};
use tiny_vlm_layers::{LayerError, ScratchTensor};
use tiny_vlm_tensor::{Context, Tensor};
use tiny_vlm_vision::{Line, PrintReader, Thing, ThingsFinder, Tower, VisionError, glimpse_box};
use tiny_vlm_weights::Scope;

use super::NanoConfig;

/// The networks that look.
#[derive(Debug)]
pub(super) struct Eyes {
    things: ThingsFinder,
    tower: Tower,
    print: PrintReader,
    fusion: ObjectTokens,
    glimpse: usize,
    grow: f64,
}

/// What was seen in a picture.
#[derive(Debug)]
pub(super) struct Seen {
    /// From left to right.
    pub(super) things: Vec<Thing>,
    /// In reading order.
    pub(super) lines: Vec<Line>,
    /// A row for the page, and one for each thing.
    pub(super) memory: Tensor<f32, 2>,
}

impl Eyes {
    pub(super) fn load(root: &Scope<'_>, config: &NanoConfig, width: usize) -> Result<Self, VisionError> {
        let tower = Tower::load(&root.scope("tower"), &config.tower)?;
        let sizes = ObjectTokensConfig {
            glimpse: tower.width(),
            width,
            labels: config.fusion.labels,
            colours: config.fusion.colours,
            most: config.things.most,
        };
        Ok(Eyes {
            things: ThingsFinder::load(&root.scope("things"), &config.things)?,
            print: PrintReader::load(root, &config.lines, &config.reader)?,
            fusion: ObjectTokens::load(&root.scope("fusion"), sizes),
            glimpse: config.tower.glimpse,
            grow: config.tower.grow,
            tower,
        })
    }

    pub(super) fn look(&self, ctx: &Context<'_>, image: &Image) -> Result<Seen, VisionError> {
        // Before all else: this takes the most memory, in buffers that serve what follows.
        let lines = self.read(ctx, image)?;
        let things = self.things.find(ctx, image)?;
        let glimpses = self.glimpses(ctx, image, &things)?;
        let memory = self.remember(ctx, &things, &glimpses, !lines.is_empty())?;
        Ok(Seen { things, lines, memory })
    }

    pub(super) fn read(&self, ctx: &Context<'_>, image: &Image) -> Result<Vec<Line>, VisionError> {
        self.print.read(ctx, image)
    }

    /// A row for each thing that says what it is.
    pub(super) fn glimpses<'a>(
        &self,
        ctx: &Context<'a>,
        image: &Image,
        things: &[Thing],
    ) -> Result<ScratchTensor<'a, 2>, VisionError> {
        let mut glimpses = ScratchTensor::new(ctx, [things.len(), self.tower.width()])?;
        let (size, side) = ([image.width(), image.height()], self.glimpse);
        for (i, thing) in things.iter().enumerate() {
            ctx.progress.report("look", i, things.len());
            let area = glimpse_box(&thing.bounds, size, self.grow).map(|place| place as f32);
            let crop = image.view().resize(side, side, Filter::Bilinear, Some(area))?;
            self.tower.glimpse(ctx, crop.data(), [side; 2], glimpses.view_mut().row_mut(i))?;
        }
        Ok(glimpses)
    }

    fn remember(
        &self,
        ctx: &Context<'_>,
        things: &[Thing],
        glimpses: &ScratchTensor<'_, 2>,
        has_print: bool,
    ) -> Result<Tensor<f32, 2>, LayerError> {
        let mut positions = ScratchTensor::new(ctx, [things.len(), POSITION_FEATURES])?;
        for (i, thing) in things.iter().enumerate() {
            let told = position_features(thing.bounds.map(|side| side as f32));
            positions.view_mut().row_mut(i).copy_from_slice(&told);
        }
        let mut memory = Tensor::try_zeroed([things.len() + 1, self.fusion.width()])?;
        self.fusion.forward(ctx, glimpses.view(), positions.view(), has_print, memory.view_mut())?;
        Ok(memory)
    }
}
