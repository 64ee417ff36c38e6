//! From a picture to the square that the tower takes.

use serde::Deserialize;
use tiny_vlm_image::Filter;
use tiny_vlm_vision::{Fit, Middle, Normalize, SquareProcessor, VisionError};

use super::config::Config;
use crate::{ModelError, Source};

const FILE: &str = "preprocessor_config.json";
/// Sides of the published tower's pictures.
const SIDE: usize = 1024;
/// Pillow's number for bicubic resampling.
const BICUBIC: u32 = 3;

/// `CLIPImageProcessor` or `LlavaImageProcessor`. What is left out is as FastVLM was trained.
#[derive(Default, Deserialize)]
struct Preprocessor {
    size: Option<Size>,
    crop_size: Option<Crop>,
    resample: Option<u32>,
    rescale_factor: Option<f64>,
    image_mean: Option<[f64; 3]>,
    image_std: Option<[f64; 3]>,
    do_resize: Option<bool>,
    do_center_crop: Option<bool>,
    do_rescale: Option<bool>,
    do_normalize: Option<bool>,
    do_pad: Option<bool>,
}

#[derive(Deserialize)]
struct Size {
    shortest_edge: usize,
}

#[derive(Deserialize)]
struct Crop {
    height: usize,
    width: usize,
}

/// The processor that `preprocessor_config.json` describes. Apple's layout has its rules elsewhere: the sides in the
/// tower's name, the padding in the configuration.
pub(super) fn processor(source: &Source, config: &Config) -> Result<SquareProcessor, ModelError> {
    let wrong = |detail: String| ModelError::config(FILE, detail);
    let said: Preprocessor = match config.side {
        Some(_) => Preprocessor::default(),
        None => source.optional_json(FILE)?.unwrap_or_default(),
    };
    let steps = [said.do_resize, said.do_center_crop, said.do_rescale, said.do_normalize];
    if steps.contains(&Some(false)) {
        return Err(wrong("pictures that are not resized, cropped, rescaled and normalized".to_owned()));
    }
    if let Some(other) = said.resample.filter(|&other| other != BICUBIC) {
        return Err(wrong(format!("resample {other} is not supported, only {BICUBIC}")));
    }
    let size = config.side.or(said.size.map(|size| size.shortest_edge)).unwrap_or(SIDE);
    let crop = said.crop_size.unwrap_or(Crop { height: size, width: size });
    if crop.height != crop.width {
        return Err(wrong(format!("a crop of {} by {} is not square", crop.height, crop.width)));
    }
    let normalize = Normalize {
        scale: said.rescale_factor.unwrap_or(1.0 / 255.0),
        mean: said.image_mean.unwrap_or([0.0; 3]),
        deviation: said.image_std.unwrap_or([1.0; 3]),
    };
    let fit = if config.pads || said.do_pad == Some(true) { Fit::Padded(size) } else { Fit::Shorter(size) };
    let processor = SquareProcessor::new(crop.height, fit, Filter::Bicubic, Middle::Lower, &normalize);
    processor.map_err(|error| match error {
        VisionError::Config(detail) => wrong(detail),
        other => ModelError::stage("processor", other),
    })
}
