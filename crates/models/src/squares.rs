//! The image processors of classifiers, as `transformers` and `timm` write them down.

use serde::Deserialize;
use tiny_vlm_image::Filter;
use tiny_vlm_vision::{Fit, Middle, Normalize, SquareProcessor, VisionError};

use crate::ModelError;

/// Where `transformers` writes its processor down.
const PREPROCESSOR: &str = "preprocessor_config.json";
/// From this side on, pictures are stretched by `ConvNextImageProcessor`.
const STRETCHED_FROM: usize = 384;
/// The mean and deviation of ImageNet's pixels.
const IMAGENET: [[f64; 3]; 2] = [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]];

fn wrong(file: &'static str, detail: impl Into<String>) -> ModelError {
    ModelError::config(file, detail)
}

fn square(
    file: &'static str,
    (side, fit): (usize, Fit),
    filter: Filter,
    middle: Middle,
    normalize: &Normalize,
) -> Result<SquareProcessor, ModelError> {
    let made = SquareProcessor::new(side, fit, filter, middle, normalize);
    made.map_err(|error| match error {
        VisionError::Config(detail) => wrong(file, detail),
        other => ModelError::stage("processor", other),
    })
}

/// `side` over the part of it that is cut out, rounded down. What no processor does becomes 0.
fn before_crop(side: usize, part: f64) -> usize {
    if part.is_finite() && part > 0.0 { (side as f64 / part) as usize } else { 0 }
}

/// `ConvNextImageProcessor`'s `preprocessor_config.json`. What it does not say is as the class has it.
#[derive(Deserialize)]
#[serde(default)]
struct ConvNext {
    image_processor_type: Option<String>,
    feature_extractor_type: Option<String>,
    do_resize: Option<bool>,
    do_rescale: Option<bool>,
    do_normalize: Option<bool>,
    do_center_crop: Option<bool>,
    size: Size,
    crop_pct: Option<f64>,
    resample: Option<u32>,
    rescale_factor: Option<f64>,
    image_mean: [f64; 3],
    image_std: [f64; 3],
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Size {
    Side(usize),
    Named { shortest_edge: usize },
}

impl Default for ConvNext {
    fn default() -> Self {
        Self {
            image_processor_type: None,
            feature_extractor_type: None,
            do_resize: None,
            do_rescale: None,
            do_normalize: None,
            do_center_crop: None,
            size: Size::Side(STRETCHED_FROM),
            crop_pct: None,
            resample: None,
            rescale_factor: None,
            image_mean: [0.5; 3],
            image_std: [0.5; 3],
        }
    }
}

/// The processor that a `preprocessor_config.json` describes; one by `transformers` has that file.
pub(crate) fn from_transformers(json: Option<&[u8]>) -> Result<SquareProcessor, ModelError> {
    let json = json.ok_or_else(|| wrong(PREPROCESSOR, "missing"))?;
    let config: ConvNext =
        serde_json::from_slice(json).map_err(|error| wrong(PREPROCESSOR, error.to_string()))?;
    let class = config.image_processor_type.or(config.feature_extractor_type).unwrap_or_default();
    if !class.is_empty() && !class.starts_with("ConvNext") {
        let class: String = class.chars().take(80).collect();
        return Err(wrong(PREPROCESSOR, format!("{class:?} is not supported, only ConvNextImageProcessor")));
    }
    let off = |step: Option<bool>| step == Some(false);
    if off(config.do_resize) || off(config.do_rescale) || off(config.do_normalize) {
        return Err(wrong(PREPROCESSOR, "pictures that are not resized, rescaled and normalized"));
    }
    if config.do_center_crop == Some(true) {
        return Err(wrong(PREPROCESSOR, "do_center_crop beside crop_pct"));
    }
    let (Size::Side(side) | Size::Named { shortest_edge: side }) = config.size;
    let part = config.crop_pct.unwrap_or(224.0 / 256.0);
    let fit = if side < STRETCHED_FROM { Fit::Shorter(before_crop(side, part)) } else { Fit::Stretch(side) };
    // Pillow's numbers.
    let filter = match config.resample.unwrap_or(3) {
        0 => Filter::Nearest,
        1 => Filter::Lanczos,
        2 => Filter::Bilinear,
        3 => Filter::Bicubic,
        4 => Filter::Box,
        other => return Err(wrong(PREPROCESSOR, format!("resample {other} is not supported"))),
    };
    let normalize = Normalize {
        scale: config.rescale_factor.unwrap_or(1.0 / 255.0),
        mean: config.image_mean,
        deviation: config.image_std,
    };
    square(PREPROCESSOR, (side, fit), filter, Middle::Lower, &normalize)
}

/// What the `pretrained_cfg` of a `timm` model says of its pictures. What it leaves out is as `timm` has it.
#[derive(Deserialize)]
#[serde(default)]
pub(crate) struct TimmPictures {
    input_size: [usize; 3],
    interpolation: String,
    crop_pct: f64,
    crop_mode: String,
    mean: [f64; 3],
    std: [f64; 3],
}

impl Default for TimmPictures {
    fn default() -> Self {
        Self {
            input_size: [3, 224, 224],
            interpolation: "bicubic".to_owned(),
            crop_pct: 0.875,
            crop_mode: "center".to_owned(),
            mean: IMAGENET[0],
            std: IMAGENET[1],
        }
    }
}

impl TimmPictures {
    /// The evaluation transform of these pictures.
    pub(crate) fn processor(&self) -> Result<SquareProcessor, ModelError> {
        const FILE: &str = "config.json";
        let [colours, side, width] = self.input_size;
        if colours != 3 || side != width {
            let size = self.input_size;
            return Err(wrong(
                FILE,
                format!("pictures of {size:?} are not supported, only squares in colour"),
            ));
        }
        let size = before_crop(side, self.crop_pct);
        let fit = match self.crop_mode.as_str() {
            "center" => Fit::Shorter(size),
            "squash" => Fit::Stretch(size),
            other => {
                let other: String = other.chars().take(80).collect();
                return Err(wrong(FILE, format!("crop_mode {other:?} is not supported")));
            }
        };
        let filter = match self.interpolation.as_str() {
            "nearest" => Filter::Nearest,
            "lanczos" => Filter::Lanczos,
            "bilinear" => Filter::Bilinear,
            "bicubic" => Filter::Bicubic,
            "box" => Filter::Box,
            other => {
                let other: String = other.chars().take(80).collect();
                return Err(wrong(FILE, format!("interpolation {other:?} is not supported")));
            }
        };
        let normalize = Normalize { scale: 1.0 / 255.0, mean: self.mean, deviation: self.std };
        square(FILE, (side, fit), filter, Middle::Even, &normalize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detail(json: &str) -> String {
        from_transformers(Some(json.as_bytes())).map(drop).unwrap_err().to_string()
    }

    #[test]
    fn processors_that_are_not_known_are_named() {
        assert!(from_transformers(None).unwrap_err().to_string().contains("missing"));
        assert!(detail(r#"{"image_processor_type": "ViTImageProcessor"}"#).contains("ViTImageProcessor"));
        assert!(detail(r#"{"resample": 5}"#).contains("resample 5"));
        assert!(detail(r#"{"do_resize": false}"#).contains("not resized"));
        assert!(detail(r#"{"size": 224, "crop_pct": 0}"#).contains("square of"));
        assert!(detail(r#"{"size": 224, "crop_pct": 1.5}"#).contains("square of"));
        assert!(detail(r#"{"image_std": [0, 1, 1]}"#).contains("pixels times"));
        assert!(detail("3").contains("preprocessor_config.json"));
        assert!(from_transformers(Some(br#"{"size": 224, "crop_pct": 0.875}"#)).is_ok());
        assert!(from_transformers(Some(br#"{"size": {"shortest_edge": 384}}"#)).is_ok());
    }

    #[test]
    fn transforms_that_are_not_known_are_named() {
        let said = |pictures: TimmPictures| pictures.processor().map(drop).unwrap_err().to_string();
        let plain = TimmPictures::default;
        assert!(said(TimmPictures { crop_mode: "border".into(), ..plain() }).contains("border"));
        assert!(said(TimmPictures { interpolation: "hamming".into(), ..plain() }).contains("hamming"));
        assert!(said(TimmPictures { input_size: [1, 28, 28], ..plain() }).contains("[1, 28, 28]"));
        assert!(said(TimmPictures { crop_pct: f64::NAN, ..plain() }).contains("square of"));
        assert_eq!(plain().processor().unwrap().side(), 224);
    }
}
