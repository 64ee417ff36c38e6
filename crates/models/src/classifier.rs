//! What classifiers of images share: a map of features, its mean, and a linear map of that.

use tiny_vlm_image::Image;
use tiny_vlm_layers::{Linear, ScratchTensor};
use tiny_vlm_quant::Precision as Format;
use tiny_vlm_tensor::{Context, View, ViewMut};
use tiny_vlm_vision::{ResNet, SquareProcessor, VisionError, global_mean};
use tiny_vlm_weights::{Params, Scope, Weights};

use crate::weigh::{Weighed, weigh};
use crate::{ImageFamily, ImageModelInfo, ModelError, ModelOptions};

/// A network from pixels to a map of features.
pub(crate) trait Tower: Send + Sync {
    /// Channels of its maps.
    fn width(&self) -> usize;

    /// The map of normalized pixels `[height, width, 3]`.
    fn forward<'a>(
        &self,
        ctx: &Context<'a>,
        pixels: View<'_, f32, 3>,
    ) -> Result<ScratchTensor<'a, 3>, VisionError>;
}

impl Tower for ResNet {
    fn width(&self) -> usize {
        ResNet::width(self)
    }

    fn forward<'a>(
        &self,
        ctx: &Context<'a>,
        pixels: View<'_, f32, 3>,
    ) -> Result<ScratchTensor<'a, 3>, VisionError> {
        ResNet::forward(self, ctx, pixels)
    }
}

/// A tower with its processor and, where it was trained with one, its classifier.
pub(crate) struct Classifier<T> {
    info: ImageModelInfo,
    processor: SquareProcessor,
    tower: T,
    head: Option<Linear>,
}

impl<T: Tower> Classifier<T> {
    /// A model of the family `family` whose classes are `labels`; its classifier is below `head`. The last thing to be
    /// loaded: says what is wrong with the weights.
    pub(crate) fn load(
        family: &'static str,
        params: Params<'_>,
        tower: T,
        processor: SquareProcessor,
        labels: Vec<String>,
        head: &str,
    ) -> Result<Self, ModelError> {
        let (features, classes) = (tower.width(), labels.len());
        let load = |scope: Scope<'_>| Linear::load(&scope, features, classes, true);
        let head = (classes > 0).then(|| load(params.scope(head)));
        let Weighed { parameters, bytes: weight_bytes, precision, kernels } = weigh(&params);
        let info = ImageModelInfo {
            parameters,
            weight_bytes,
            precision,
            kernels,
            labels,
            ..ImageModelInfo::new(family, features, processor.side())
        };
        // A counter of training, one a batch norm.
        params.ignore(|name| name.ends_with(".num_batches_tracked"));
        params.finish().map_err(|error| ModelError::Weights(Box::new(error)))?;
        Ok(Self { info, processor, tower, head })
    }
}

impl<T: Tower> ImageFamily for Classifier<T> {
    fn info(&self) -> &ImageModelInfo {
        &self.info
    }

    fn features(&self, ctx: &Context<'_>, image: &Image) -> Result<Vec<f32>, ModelError> {
        let pixels = self.processor.pixels(ctx, image)?;
        let map = self.tower.forward(ctx, pixels.view())?;
        let mut features = vec![0.0; self.info.features];
        global_mean(map.view(), &mut features).map_err(VisionError::from)?;
        Ok(features)
    }

    fn classify(&self, ctx: &Context<'_>, image: &Image) -> Result<Vec<f32>, ModelError> {
        let Some(head) = &self.head else { return Err(ModelError::NoClasses) };
        let features = self.features(ctx, image)?;
        let mut scores = vec![0.0; head.outputs()];
        let fault = |error| ModelError::stage("classifier", error);
        let x = View::new([1, features.len()], &features).map_err(fault)?;
        let out = ViewMut::new([1, scores.len()], &mut scores).map_err(fault)?;
        head.forward(ctx, x, out).map_err(VisionError::from)?;
        Ok(scores)
    }
}

/// Begins to load an image model. With int8 a classifier keeps nearly all its decisions, so that is what `Auto` takes, and
/// the fewest bits: four are for decoders.
pub(crate) fn params<'w>(options: &ModelOptions, weights: &'w Weights) -> Params<'w> {
    options.params(weights, || Format::Int8).at_least("", Format::Int8)
}
