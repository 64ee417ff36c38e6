//! Sizes of the published networks.

use serde::Deserialize;

use crate::VisionError;

/// The widest stage that a config may ask for; far beyond any network of this kind.
const WIDEST: usize = 1 << 13;
/// The most blocks of a stage, likewise, and the most that a feed-forward layer may be wider than its stage.
const MOST: usize = 256;

/// Length of an attention head.
pub(super) const HEAD: usize = 32;

/// A network of the FastViT family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FastVitConfig {
    /// Blocks of each stage.
    pub depths: Vec<usize>,
    /// Channels of each stage; each stage halves the sides of the one before it.
    pub widths: Vec<usize>,
    /// Width of a feed-forward layer over that of its stage.
    pub mlp_ratio: usize,
    /// Stages that mix tokens by convolution; those behind them do by attention.
    pub convolutional: usize,
    /// Whether an activation follows the large kernels between the stages.
    pub large_kernel_activation: bool,
    /// Whether the stem was trained with branches of 1 × 1.
    pub stem_scale_branch: bool,
}

/// Sizes other than an architecture's own, by the names of `timm`'s arguments: `model_args` of a wrapped model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FastVitSizes {
    /// Blocks of each stage.
    pub layers: Option<Vec<usize>>,
    /// Channels of each stage.
    pub embed_dims: Option<Vec<usize>>,
    /// Whether the branches of training are folded. The weights themselves show that.
    pub inference_mode: Option<bool>,
}

impl FastVitConfig {
    /// The architecture that `timm` calls so, of other sizes where `sizes` has some.
    ///
    /// ```
    /// use tiny_vlm_vision::{FastVitConfig, FastVitSizes};
    ///
    /// let t8 = FastVitConfig::named("fastvit_t8", &FastVitSizes::default())?;
    /// assert_eq!((t8.features(), t8.stride()), (768, 32));
    /// let hd = FastVitConfig::named("fastvit_mci3", &FastVitSizes::default())?;
    /// assert_eq!((hd.features(), hd.stride()), (3072, 64));
    /// # Ok::<(), tiny_vlm_vision::VisionError>(())
    /// ```
    pub fn named(architecture: &str, sizes: &FastVitSizes) -> Result<Self, VisionError> {
        let convolutional = |depths: [usize; 4], width: usize, mlp_ratio| Self {
            depths: depths.to_vec(),
            widths: (0..4).map(|stage| width << stage).collect(),
            mlp_ratio,
            convolutional: 4,
            large_kernel_activation: false,
            stem_scale_branch: true,
        };
        let hd = |depths: [usize; 5], width: usize| Self {
            depths: depths.to_vec(),
            widths: (0..5).map(|stage| width << stage).collect(),
            mlp_ratio: 4,
            convolutional: 3,
            large_kernel_activation: true,
            stem_scale_branch: false,
        };
        // The part behind a point names the weights.
        let mut config = match architecture.split('.').next().unwrap_or_default() {
            "fastvit_t8" => convolutional([2, 2, 4, 2], 48, 3),
            "fastvit_t12" => convolutional([2, 2, 6, 2], 64, 3),
            "fastvit_s12" => convolutional([2, 2, 6, 2], 64, 4),
            "fastvit_mci3" => hd([2, 12, 24, 4, 2], 96),
            "fastvit_mci4" => hd([2, 12, 24, 4, 4], 128),
            _ => {
                let name: String = architecture.chars().take(80).collect();
                return Err(VisionError::Config(format!(
                    "unknown architecture {name:?} (supported: fastvit_t8, fastvit_t12, fastvit_s12, fastvit_mci3, \
                     fastvit_mci4)"
                )));
            }
        };
        let stages = config.depths.len();
        config.depths = sizes.layers.clone().unwrap_or(config.depths);
        config.widths = sizes.embed_dims.clone().unwrap_or(config.widths);
        if config.depths.len() != stages {
            let depths = config.depths.len();
            return Err(VisionError::Config(format!("FastViT: {depths} depths for {stages} stages")));
        }
        config.check()?;
        Ok(config)
    }

    /// Channels that come out.
    pub fn features(&self) -> usize {
        2 * self.widths.last().copied().unwrap_or_default()
    }

    /// Pixels of a picture's side for one of what comes out.
    pub fn stride(&self) -> usize {
        4 << self.widths.len().saturating_sub(1)
    }

    /// Whether networks of these sizes can be made.
    pub fn check(&self) -> Result<(), VisionError> {
        let wrong = |detail: String| Err(VisionError::Config(format!("FastViT: {detail}")));
        let (stages, widths) = (self.depths.len(), self.widths.len());
        if !(1..=8).contains(&stages) || stages != widths || self.convolutional > stages {
            return wrong(format!("{stages} depths for {widths} widths"));
        }
        if let Some(width) = self.widths.iter().find(|width| !(1..=WIDEST).contains(width)) {
            return wrong(format!("a width of {width}"));
        }
        if let Some(size) =
            self.depths.iter().chain([&self.mlp_ratio]).find(|size| !(1..=MOST).contains(size))
        {
            return wrong(format!("a size of {size}"));
        }
        if let Some(pair) = self.widths.windows(2).find(|pair| !pair[1].is_multiple_of(pair[0])) {
            return wrong(format!("{} channels cannot be made of {}", pair[1], pair[0]));
        }
        let attending = &self.widths[self.convolutional..];
        if let Some(width) = attending.iter().find(|width| !width.is_multiple_of(HEAD)) {
            return wrong(format!("{width} channels are no heads of {HEAD}"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_sizes_and_nonsense() {
        let sizes = |json: &str| serde_json::from_str::<FastVitSizes>(json);
        let small = sizes(r#"{"layers": [1, 1], "embed_dims": [8, 16], "inference_mode": true}"#).unwrap();
        let config = FastVitConfig::named("fastvit_t8.apple_in1k", &small);
        assert!(config.unwrap_err().to_string().contains("2 depths"), "four stages are convolutional");
        assert!(sizes(r#"{"mlp_ratios": [3, 3]}"#).is_err());
        let error =
            |sizes: FastVitSizes| FastVitConfig::named("fastvit_mci3", &sizes).unwrap_err().to_string();
        let widths =
            |widths: [usize; 5]| FastVitSizes { embed_dims: Some(widths.to_vec()), ..Default::default() };
        assert!(error(widths([8, 12, 24, 48, 96])).contains("12 channels cannot be made of 8"));
        assert!(error(widths([8, 8, 8, 8, 8])).contains("no heads"));
        assert!(error(widths([0, 8, 8, 32, 32])).contains("width of 0"));
        assert!(error(widths([1, 1 << 30, 1 << 30, 1 << 30, 1 << 30])).contains("width of"));
        let unknown = FastVitConfig::named("resnet50", &FastVitSizes::default()).unwrap_err();
        assert!(unknown.to_string().contains("resnet50") && unknown.to_string().contains("fastvit_mci3"));
    }
}
