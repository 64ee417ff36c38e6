//! The network as a whole.

use tiny_vlm_layers::{Activation, ScratchTensor};
use tiny_vlm_tensor::{Context, View};
use tiny_vlm_weights::Scope;

use super::blocks::{Last, Stage, StageSizes, Stem};
use super::config::FastVitConfig;
use super::names::Names;
use crate::VisionError;

/// A network of the FastViT family.
///
/// It takes images `[height, width, 3]` and makes [features](Self::features). A classifier's head, which checkpoints call
/// `head.fc` or `head`, takes their mean over the picture; it is not a part of this.
#[derive(Debug)]
pub struct FastVit {
    config: FastVitConfig,
    stem: Stem,
    stages: Vec<Stage>,
    last: Last,
}

impl FastVit {
    /// Reads the network below `scope`, in either layout and with the branches of training or without. The counters that
    /// batch normalisations keep (`num_batches_tracked`) it leaves for the caller to
    /// [ignore](tiny_vlm_weights::Params::ignore).
    ///
    /// Layers whose tensors are faulty cannot always be made, so the parameters' own report counts for more than an
    /// error of this.
    pub fn load(scope: &Scope<'_>, config: &FastVitConfig) -> Result<Self, VisionError> {
        config.check()?;
        let names = Names::of(scope);
        let FastVitConfig { widths, depths, mlp_ratio, convolutional, .. } = config;
        let places = names.stages(scope, widths.len(), *convolutional);
        let activation = if config.large_kernel_activation { Activation::Gelu } else { Activation::None };
        let stage = |number: usize| {
            let sizes = StageSizes {
                before: number.checked_sub(1).map(|before| widths[before]),
                width: widths[number],
                depth: depths[number],
                mlp_ratio: *mlp_ratio,
                attends: number >= *convolutional,
                activation,
            };
            Stage::load(&places[number], names, &sizes)
        };
        let last = widths.last().copied().unwrap_or_default();
        Ok(Self {
            stem: Stem::load(scope, names, widths[0], config.stem_scale_branch)?,
            stages: (0..widths.len()).map(stage).collect::<Result<_, _>>()?,
            last: Last::load(scope, names, last)?,
            config: config.clone(),
        })
    }

    /// Its sizes.
    pub fn config(&self) -> &FastVitConfig {
        &self.config
    }

    /// The features of a picture: [`FastVitConfig::features`] channels for every [`FastVitConfig::stride`] pixels of a
    /// side.
    pub fn features<'a>(
        &self,
        ctx: &Context<'a>,
        pixels: View<'_, f32, 3>,
    ) -> Result<ScratchTensor<'a, 3>, VisionError> {
        self.features_observed(ctx, pixels, &mut |_| ())
    }

    /// As [`features`](Self::features), showing `observe` what the stem, each stage and the last convolution make. For
    /// comparison with a reference.
    pub fn features_observed<'a>(
        &self,
        ctx: &Context<'a>,
        pixels: View<'_, f32, 3>,
        observe: &mut dyn FnMut(View<'_, f32, 3>),
    ) -> Result<ScratchTensor<'a, 3>, VisionError> {
        let steps = self.stages.len() + 2;
        ctx.progress.report("encode", 0, steps);
        let mut x = self.stem.apply(ctx, pixels)?;
        observe(x.view());
        for (number, stage) in self.stages.iter().enumerate() {
            ctx.progress.report("encode", number + 1, steps);
            x = stage.apply(ctx, x)?;
            observe(x.view());
        }
        ctx.progress.report("encode", steps - 1, steps);
        let x = self.last.apply(ctx, x.view())?;
        observe(x.view());
        Ok(x)
    }
}
