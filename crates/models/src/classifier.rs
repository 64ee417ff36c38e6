//! What classifiers of images share: a map of features, its mean, and a linear map of that.

use tiny_vlm_image::{Image, ImageError};
use tiny_vlm_layers::{LayerError, Linear, ScratchTensor};
use tiny_vlm_quant::{Precision as Format, kernel_names};
use tiny_vlm_simd::Level;
use tiny_vlm_tensor::{Context, TensorError, View, ViewMut};
use tiny_vlm_vision::{ResNet, SquareProcessor, VisionError, global_mean};
use tiny_vlm_weights::{Params, Scope};

use crate::{ImageFamily, ImageModelInfo, ModelError, Precision};

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
        let mut info = ImageModelInfo::new(family, features, processor.side());
        info.labels = labels;
        weigh(&params, &mut info);
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
        let pixels = self.processor.pixels(ctx, image).map_err(vision_error)?;
        let map = self.tower.forward(ctx, pixels.view()).map_err(vision_error)?;
        let mut features = vec![0.0; self.info.features];
        global_mean(map.view(), &mut features).map_err(|error| vision_error(error.into()))?;
        Ok(features)
    }

    fn classify(&self, ctx: &Context<'_>, image: &Image) -> Result<Vec<f32>, ModelError> {
        let Some(head) = &self.head else { return Err(ModelError::NoClasses) };
        let features = self.features(ctx, image)?;
        let mut scores = vec![0.0; head.outputs()];
        let fault = |error| ModelError::stage("classifier", error);
        let x = View::new([1, features.len()], &features).map_err(fault)?;
        let out = ViewMut::new([1, scores.len()], &mut scores).map_err(fault)?;
        head.forward(ctx, x, out).map_err(|error| vision_error(error.into()))?;
        Ok(scores)
    }
}

/// The form of the weights of an image model. With int8 a classifier keeps nearly all its decisions, so that is what
/// `Auto` takes.
pub(crate) fn format(precision: Precision) -> Format {
    match precision {
        Precision::F32 => Format::F32,
        Precision::Bf16 => Format::Bf16,
        Precision::F16 => Format::F16,
        // Four bits are for decoders.
        Precision::Int8 | Precision::Int4 | Precision::Auto => Format::Int8,
    }
}

fn weigh(params: &Params<'_>, info: &mut ImageModelInfo) {
    let weights = params.weights();
    let mut formats = std::collections::BTreeMap::<String, usize>::new();
    for name in weights.names().filter(|name| !name.ends_with(".num_batches_tracked")) {
        let Some(tensor) = weights.info(name) else { continue };
        let count: usize = tensor.shape.iter().product();
        let format = if tensor.shape.len() > 1 { params.precision_of(name) } else { Format::F32 };
        let bytes = match format {
            Format::Int8 => 1,
            Format::F16 | Format::Bf16 => 2,
            _ => 4,
        };
        info.parameters += count;
        info.weight_bytes += count * bytes;
        *formats.entry(format.to_string()).or_default() += count;
    }
    let most = formats.iter().max_by_key(|(_, count)| **count);
    info.precision = most.map(|(format, _)| format.clone()).unwrap_or_default();
    info.kernels = kernel_names(Level::detect())
        .into_iter()
        .filter(|kernel| formats.contains_key(&kernel.precision.to_string()))
        .map(|kernel| (kernel.operators.to_owned(), kernel.kernel))
        .collect();
}

pub(crate) fn vision_error(error: VisionError) -> ModelError {
    match error {
        VisionError::Config(detail) => ModelError::config("config.json", detail),
        VisionError::Stopped(stopped) | VisionError::Image(ImageError::Stopped(stopped)) => stopped.into(),
        VisionError::Image(error @ ImageError::Memory { .. }) => ModelError::Memory(error.to_string()),
        VisionError::Layer(LayerError::Memory(error) | LayerError::Tensor(TensorError::Memory(error))) => {
            ModelError::Memory(error.to_string())
        }
        other => ModelError::stage("vision", other),
    }
}
