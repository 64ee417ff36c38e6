//! Sizes and rules of nano's vision networks, as config.json has them.

use serde::Deserialize;

use crate::VisionError;

/// The largest size that a config may ask for; far beyond any model of this kind.
const MOST: usize = 1 << 14;

/// The convolutional tower.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct TowerConfig {
    /// Channels at strides 2, 4, 8 and 16.
    pub widths: [usize; 4],
    /// Residual convolutions at strides 4, 8 and 16.
    pub depths: [usize; 3],
    /// Heads of the attention block at stride 16.
    pub heads: usize,
    /// Width of its feed-forward layer.
    pub mlp: usize,
    /// Epsilon of the layer norms.
    pub norm_eps: f32,
    /// Subtracted from pixels in 0..1.
    pub mean: f32,
    /// What they are then divided by.
    pub deviation: f32,
    /// Side of a picture of one thing.
    pub glimpse: usize,
    /// That side over the longer side of the thing.
    pub grow: f64,
}

/// The things finder and its rules.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ThingsConfig {
    /// Channels at strides 2, 4, 8 and 16.
    pub widths: [usize; 4],
    /// Residual convolutions at strides 4, 8 and 16.
    pub depths: [usize; 3],
    /// Heads of the attention block at stride 16.
    pub heads: usize,
    /// Width of its feed-forward layer.
    pub mlp: usize,
    /// Epsilon of the layer norms.
    pub norm_eps: f32,
    /// Channels where the strides meet.
    pub top: usize,
    /// Subtracted from pixels in 0..1.
    pub mean: f32,
    /// What they are then divided by.
    pub deviation: f32,
    /// Side of the whole picture at a glance.
    pub glance: usize,
    /// The most things there can be.
    pub most: usize,
    /// Least centre probability of a thing.
    pub heat: f64,
    /// Boxes that share more than this of the smaller one are one thing.
    pub overlap: f64,
}

/// The lines finder and its rules.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct LinesConfig {
    /// Channels at strides 2, 4, 8 and 16.
    pub widths: [usize; 4],
    /// Residual convolutions at strides 4, 8 and 16.
    pub depths: [usize; 3],
    /// Channels where the strides meet.
    pub top: usize,
    /// Subtracted from pixels in 0..1.
    pub mean: f32,
    /// What they are then divided by.
    pub deviation: f32,
    /// Longer sides at which lines are looked for.
    pub levels: Vec<usize>,
    /// Least probability of a line's core.
    pub core: f64,
    /// Cap heights, in pixels of a level, that a level may report.
    pub cap_range: [f64; 2],
    /// How far a strip reaches above the cap band, in cap heights.
    pub above: f64,
    /// How far it reaches below.
    pub below: f64,
    /// How far it reaches beyond either end.
    pub ends: f64,
}

/// The reader of strips.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ReaderConfig {
    /// Channels at strides 2, 4, (8, 4), (16, 4) and (32, 4).
    pub widths: [usize; 5],
    /// Residual convolutions at strides 4, (8, 4) and (16, 4).
    pub depths: [usize; 3],
    /// Attention blocks along the line.
    pub blocks: usize,
    /// Their heads.
    pub heads: usize,
    /// Width of their feed-forward layers.
    pub mlp: usize,
    /// Epsilon of the layer norms.
    pub norm_eps: f32,
    /// Height of a strip.
    pub strip: usize,
    /// Least mean probability of the characters of a legible line that is long.
    pub legible: f64,
    /// What is added to that, over the number of characters: what is no print is often read as one or two.
    pub brief: f64,
    /// Never more than this is asked for.
    pub sure: f64,
    /// What the classes after the blank stand for.
    pub characters: String,
}

impl Default for TowerConfig {
    /// Like nano's; what a checkpoint was made with stands in its own configuration.
    fn default() -> Self {
        TowerConfig {
            widths: [24, 48, 96, 192],
            depths: [2, 2, 3],
            heads: 6,
            mlp: 384,
            norm_eps: 1e-5,
            mean: 0.5,
            deviation: 0.25,
            glimpse: 64,
            grow: 1.2,
        }
    }
}

impl Default for ThingsConfig {
    /// Like nano's; what a checkpoint was made with stands in its own configuration.
    fn default() -> Self {
        ThingsConfig {
            widths: [16, 32, 48, 96],
            depths: [1, 1, 1],
            heads: 3,
            mlp: 192,
            norm_eps: 1e-5,
            top: 48,
            mean: 0.5,
            deviation: 0.25,
            glance: 160,
            most: 12,
            heat: 0.36,
            overlap: 0.6,
        }
    }
}

impl Default for LinesConfig {
    /// Like nano's; what a checkpoint was made with stands in its own configuration.
    fn default() -> Self {
        LinesConfig {
            widths: [16, 32, 48, 64],
            depths: [1, 1, 2],
            top: 32,
            mean: 0.5,
            deviation: 0.25,
            levels: vec![112, 288, 704, 1760],
            core: 0.4,
            cap_range: [6.0, 48.0],
            above: 0.3,
            below: 0.35,
            ends: 0.35,
        }
    }
}

/// Fails on the first size that is zero or absurd.
fn check_sizes(what: &str, sizes: impl IntoIterator<Item = usize>) -> Result<(), VisionError> {
    match sizes.into_iter().find(|size| !(1..=MOST).contains(size)) {
        Some(size) => Err(VisionError::Config(format!("{what}: a size of {size}"))),
        None => Ok(()),
    }
}

/// Fails on the first number that is not one.
fn check_numbers(what: &str, numbers: impl IntoIterator<Item = f64>) -> Result<(), VisionError> {
    match numbers.into_iter().find(|number| !number.is_finite()) {
        Some(number) => Err(VisionError::Config(format!("{what}: a factor of {number}"))),
        None => Ok(()),
    }
}

fn check_heads(what: &str, width: usize, heads: usize) -> Result<(), VisionError> {
    if width.is_multiple_of(heads) {
        return Ok(());
    }
    Err(VisionError::Config(format!("{what}: {width} channels cannot be shared by {heads} heads")))
}

fn check_scale(what: &str, deviation: f32) -> Result<(), VisionError> {
    if deviation > 0.0 {
        Ok(())
    } else {
        Err(VisionError::Config(format!("{what}: a deviation of {deviation}")))
    }
}

impl TowerConfig {
    /// Whether networks of these sizes can be made.
    pub fn check(&self) -> Result<(), VisionError> {
        check_sizes("tower", self.widths.into_iter().chain([self.heads, self.mlp]))?;
        check_sizes("tower", self.depths.map(|depth| depth.saturating_add(1)))?;
        check_heads("tower", self.widths[3], self.heads)?;
        check_numbers("tower", [self.norm_eps, self.mean, self.deviation].map(f64::from))?;
        check_numbers("tower", [self.grow])?;
        check_scale("tower", self.deviation)?;
        check_side("tower", self.glimpse)
    }
}

impl ThingsConfig {
    /// Whether the head can be made and its rules be followed.
    pub fn check(&self) -> Result<(), VisionError> {
        let sizes = [self.heads, self.mlp, self.top, self.glance, self.most];
        check_sizes("things", self.widths.into_iter().chain(sizes))?;
        check_sizes("things", self.depths.map(|depth| depth.saturating_add(1)))?;
        check_heads("things", self.widths[3], self.heads)?;
        check_numbers("things", [self.norm_eps, self.mean, self.deviation].map(f64::from))?;
        check_numbers("things", [self.heat, self.overlap])?;
        check_scale("things", self.deviation)?;
        check_side("things", self.glance)
    }
}

impl LinesConfig {
    /// Whether the network can be made and the rules be followed.
    pub fn check(&self) -> Result<(), VisionError> {
        check_sizes("lines", self.widths.into_iter().chain([self.top]).chain(self.levels.iter().copied()))?;
        check_sizes("lines", self.depths.map(|depth| depth.saturating_add(1)))?;
        check_numbers("lines", [self.mean, self.deviation].map(f64::from))?;
        check_numbers(
            "lines",
            [self.core, self.above, self.below, self.ends].into_iter().chain(self.cap_range),
        )?;
        check_scale("lines", self.deviation)
    }
}

impl ReaderConfig {
    /// Whether the network can be made and the rules be followed.
    pub fn check(&self) -> Result<(), VisionError> {
        check_sizes("reader", self.widths.into_iter().chain([self.heads, self.mlp]))?;
        check_sizes(
            "reader",
            self.depths.into_iter().chain([self.blocks]).map(|depth| depth.saturating_add(1)),
        )?;
        check_heads("reader", self.widths[4], self.heads)?;
        check_numbers("reader", [f64::from(self.norm_eps), self.legible, self.brief, self.sure])?;
        if self.strip != 32 {
            return Err(VisionError::Config(format!("reader: strips of {} rows instead of 32", self.strip)));
        }
        Ok(())
    }
}

/// A trunk halves a side four times, and maps of different halvings are added.
fn check_side(what: &str, side: usize) -> Result<(), VisionError> {
    if side > 0 && side.is_multiple_of(16) {
        return Ok(());
    }
    Err(VisionError::Config(format!("{what}: a side of {side} pixels is no multiple of 16")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nano_is_in_order_and_nonsense_is_not() {
        assert!(TowerConfig::default().check().is_ok());
        assert!(ThingsConfig::default().check().is_ok());
        assert!(LinesConfig::default().check().is_ok());
        assert!(TowerConfig { heads: 5, ..TowerConfig::default() }.check().is_err());
        assert!(TowerConfig { widths: [24, 0, 96, 192], ..TowerConfig::default() }.check().is_err());
        assert!(TowerConfig { deviation: 0.0, ..TowerConfig::default() }.check().is_err());
        assert!(ThingsConfig { glance: 225, ..ThingsConfig::default() }.check().is_err());
        assert!(TowerConfig { grow: f64::NAN, ..TowerConfig::default() }.check().is_err());
        assert!(LinesConfig { levels: vec![usize::MAX >> 8], ..LinesConfig::default() }.check().is_err());
        assert!(TowerConfig { depths: [2, usize::MAX, 3], ..TowerConfig::default() }.check().is_err());
    }
}
