//! The sizes of a DaViT.

use crate::VisionError;

/// The sizes of a [`Davit`](crate::Davit); the vectors have an element a stage.
#[derive(Clone, Debug, PartialEq)]
pub struct DavitConfig {
    /// Channels.
    pub widths: Vec<usize>,
    /// Pairs of blocks.
    pub depths: Vec<usize>,
    /// Heads of the attention within windows.
    pub heads: Vec<usize>,
    /// Groups of the attention among channels.
    pub groups: Vec<usize>,
    /// Side of the convolution that a stage begins with, in pixels.
    pub patch_sizes: Vec<usize>,
    /// Its stride.
    pub patch_strides: Vec<usize>,
    /// Its padding.
    pub patch_paddings: Vec<usize>,
    /// Whether the norm comes before it.
    pub patch_prenorms: Vec<bool>,
    /// Side of a window, in tokens.
    pub window: usize,
    /// Width between the maps of a feed-forward layer over the channels.
    pub mlp_ratio: f64,
    /// Whether queries, keys and values have biases.
    pub qkv_bias: bool,
}

/// The largest size that a configuration may ask for; far beyond any model of this kind.
const MOST: usize = 1 << 13;

impl DavitConfig {
    /// Whether the numbers make a tower, and one whose sizes can be reckoned with.
    pub fn check(&self) -> Result<(), VisionError> {
        let wrong = |what: String| Err(VisionError::Config(what));
        let stages = self.widths.len();
        if !(1..=8).contains(&stages) {
            return wrong(format!("{stages} stages, outside 1..=8"));
        }
        let sizes = [
            ("depths", &self.depths, 1, 256),
            ("widths", &self.widths, 1, MOST),
            ("heads", &self.heads, 1, MOST),
            ("groups", &self.groups, 1, MOST),
            ("patch sizes", &self.patch_sizes, 1, 32),
            ("patch strides", &self.patch_strides, 1, 32),
            ("patch paddings", &self.patch_paddings, 0, 31),
        ];
        for (name, values, least, most) in sizes {
            if values.len() != stages {
                return wrong(format!("{} {name} for {stages} stages", values.len()));
            }
            if let Some(value) = values.iter().find(|value| !(least..=most).contains(*value)) {
                return wrong(format!("{value} among the {name}, outside {least}..={most}"));
            }
        }
        if self.patch_prenorms.len() != stages {
            return wrong(format!("{} patch norms for {stages} stages", self.patch_prenorms.len()));
        }
        if !(1..=64).contains(&self.window) {
            return wrong(format!("windows of {}, outside 1..=64", self.window));
        }
        if !(self.mlp_ratio > 0.0 && self.mlp_ratio <= 16.0) {
            return wrong(format!("a feed-forward ratio of {}, outside 0..=16", self.mlp_ratio));
        }
        Ok(())
    }

    /// Width between the maps of a stage's feed-forward layers.
    pub(crate) fn hidden(&self, stage: usize) -> usize {
        (self.widths[stage] as f64 * self.mlp_ratio) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_sizes_are_fine_and_nonsense_is_named() {
        let base = DavitConfig {
            widths: vec![128, 256, 512, 1024],
            depths: vec![1, 1, 9, 1],
            heads: vec![4, 8, 16, 32],
            groups: vec![4, 8, 16, 32],
            patch_sizes: vec![7, 3, 3, 3],
            patch_strides: vec![4, 2, 2, 2],
            patch_paddings: vec![3, 1, 1, 1],
            patch_prenorms: vec![false, true, true, true],
            window: 12,
            mlp_ratio: 4.0,
            qkv_bias: true,
        };
        base.check().unwrap();
        assert_eq!(base.hidden(3), 4096);
        let error = |config: DavitConfig| config.check().unwrap_err().to_string();
        assert!(error(DavitConfig { widths: vec![], ..base.clone() }).contains("0 stages"));
        assert!(error(DavitConfig { depths: vec![1, 1], ..base.clone() }).contains("2 depths for 4"));
        assert!(error(DavitConfig { heads: vec![4, 8, 0, 1], ..base.clone() }).contains("0 among the heads"));
        assert!(error(DavitConfig { window: 0, ..base.clone() }).contains("windows of 0"));
        assert!(error(DavitConfig { mlp_ratio: f64::NAN, ..base.clone() }).contains("NaN"));
        assert!(error(DavitConfig { patch_prenorms: vec![], ..base }).contains("0 patch norms"));
    }
}
