//! Idefics3's image processor (Laurençon et al., 2024, arXiv:2408.12637): a picture is resized to whole tiles, cut into
//! them, and followed by itself squashed into one tile.

use serde::Deserialize;
use tiny_vlm_image::{Filter, Image};
use tiny_vlm_layers::ScratchTensor;
use tiny_vlm_tensor::Context;

use crate::VisionError;
use crate::pixels::ChannelScale;

/// The longest side that a picture is ever resized to.
const MAX_SIDE: usize = 4096;
/// A longer picture than any that is decoded.
const MAX_LENGTH: usize = 1 << 28;

/// What `preprocessor_config.json` says; what it leaves out is as `transformers` has it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct TilesConfig {
    /// Whether a picture is resized before it is cut.
    pub do_resize: bool,
    /// Whether it is cut at all.
    pub do_image_splitting: bool,
    /// What its longer side becomes.
    pub size: Edge,
    /// Side of a tile.
    pub max_image_size: Edge,
    /// Pillow's number of the filter.
    pub resample: u8,
    /// Factor of bytes, before the mean is subtracted.
    pub rescale_factor: f64,
    /// Mean of each channel.
    pub image_mean: [f32; 3],
    /// Deviation of each channel.
    pub image_std: [f32; 3],
}

/// A size that is said by its longer side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Edge {
    /// The longer side in pixels.
    pub longest_edge: usize,
}

impl Default for TilesConfig {
    fn default() -> Self {
        Self {
            do_resize: true,
            do_image_splitting: true,
            size: Edge { longest_edge: 4 * 364 },
            max_image_size: Edge { longest_edge: 364 },
            resample: 1,
            rescale_factor: 1.0 / 255.0,
            image_mean: [0.5; 3],
            image_std: [0.5; 3],
        }
    }
}

/// How many tiles a request can do with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TileBounds {
    /// Most tiles of a picture. One is always made.
    pub most: usize,
    /// Whether small pictures are enlarged as far as the model was trained with; otherwise no further than to whole tiles.
    pub enlarge: bool,
}

impl Default for TileBounds {
    /// As the model was trained.
    fn default() -> Self {
        Self { most: usize::MAX, enlarge: true }
    }
}

/// How a picture of some size is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TilePlan {
    /// Rows of tiles; none where the picture becomes a single tile.
    pub rows: usize,
    /// Columns of tiles.
    pub columns: usize,
    /// Width and height of the first resize, and of the second.
    sizes: [[usize; 2]; 2],
}

impl TilePlan {
    /// All tiles, the squashed picture included.
    pub fn tiles(&self) -> usize {
        self.rows * self.columns + 1
    }
}

/// A picture in tiles, the squashed one last.
#[derive(Debug)]
pub struct Tiles {
    plan: TilePlan,
    /// What is cut; nothing where there is but one tile.
    resized: Option<Image>,
    squashed: Image,
}

/// Cuts pictures into tiles.
#[derive(Clone, Debug)]
pub struct Tiler {
    config: TilesConfig,
    filter: Filter,
    scale: ChannelScale,
}

impl Tiler {
    /// A processor of these rules.
    pub fn new(config: TilesConfig) -> Result<Self, VisionError> {
        let wrong = |detail: String| VisionError::Config(detail);
        let filter = match config.resample {
            0 => Filter::Nearest,
            1 => Filter::Lanczos,
            2 => Filter::Bilinear,
            3 => Filter::Bicubic,
            4 => Filter::Box,
            other => return Err(wrong(format!("resample is {other}, a filter that is not known"))),
        };
        let sides = [config.size.longest_edge, config.max_image_size.longest_edge];
        if sides.iter().any(|side| !(1..=1 << 20).contains(side)) || sides[1] > MAX_SIDE {
            return Err(wrong(format!("sizes {sides:?} of pictures and tiles")));
        }
        let numbers = config.image_mean.iter().chain(&config.image_std);
        if numbers.chain([&(config.rescale_factor as f32)]).any(|x| !x.is_finite())
            || config.image_std.contains(&0.0)
        {
            return Err(wrong("image_mean, image_std or rescale_factor is no number to reckon with".into()));
        }
        let scale = ChannelScale::new(config.rescale_factor, config.image_mean, config.image_std);
        Ok(Self { filter, scale, config })
    }

    /// Side of a tile.
    pub fn side(&self) -> usize {
        self.config.max_image_size.longest_edge
    }

    /// How a picture of `width` × `height` pixels is cut, for as many of the published tiles as the bounds allow.
    pub fn plan(&self, size: [usize; 2], bounds: TileBounds) -> TilePlan {
        let (side, resize) = (self.side(), self.config.do_resize);
        let [width, height] = size.map(|side| side.clamp(1, MAX_LENGTH));
        let mut edge = if resize { self.config.size.longest_edge } else { usize::MAX };
        if !bounds.enlarge {
            edge = edge.min(width.max(height).next_multiple_of(side));
        }
        let mut plan = self.plan_at([width, height], edge, resize);
        while plan.tiles() > bounds.most.max(1) && edge > side {
            edge = (edge.min(MAX_SIDE + 1) - 1) / side * side;
            plan = self.plan_at([width, height], edge, true);
        }
        plan
    }

    fn plan_at(&self, size: [usize; 2], edge: usize, resize: bool) -> TilePlan {
        let side = self.side();
        let first = if resize { longest_edge(size, edge) } else { size };
        if !self.config.do_image_splitting {
            return TilePlan { rows: 0, columns: 0, sizes: [first, [side; 2]] };
        }
        let second = whole_tiles(first, side);
        let [columns, rows] = second.map(|length| length / side);
        let cut = usize::from(columns > 1 || rows > 1);
        TilePlan { rows: cut * rows, columns: cut * columns, sizes: [first, second] }
    }

    /// Resizes a picture as planned.
    pub fn cut(&self, image: &Image, plan: TilePlan) -> Result<Tiles, VisionError> {
        let resize = |image: &Image, [width, height]: [usize; 2]| image.resize(width, height, self.filter);
        let resized = resize(&resize(image, plan.sizes[0])?, plan.sizes[1])?;
        if plan.tiles() == 1 {
            return Ok(Tiles { plan, resized: None, squashed: resized });
        }
        let squashed = resize(&resized, [self.side(); 2])?;
        Ok(Tiles { plan, resized: Some(resized), squashed })
    }

    /// The tile `[side, side, 3]` as a tower takes it.
    pub fn pixels<'a>(
        &self,
        ctx: &Context<'a>,
        tiles: &Tiles,
        index: usize,
    ) -> Result<ScratchTensor<'a, 3>, VisionError> {
        let side = self.side();
        let tile = tiles.tile(index, side)?;
        let mut pixels = ScratchTensor::new(ctx, [side, side, 3])?;
        for (y, row) in pixels.data_mut().chunks_exact_mut(3 * side).enumerate() {
            self.scale.apply(tile.row(y), row);
        }
        Ok(pixels)
    }
}

impl Tiles {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.plan.tiles()
    }

    /// Whether there are none, which never is.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// A tile: row by row, the squashed picture last.
    pub fn tile(&self, index: usize, side: usize) -> Result<Image, VisionError> {
        match &self.resized {
            Some(resized) if index + 1 < self.len() => {
                let (row, column) = (index / self.plan.columns, index % self.plan.columns);
                Ok(resized.crop(column * side, row * side, side, side)?)
            }
            _ => Ok(self.squashed.clone()),
        }
    }
}

/// Width and height with the longer side at `edge`: the shorter in proportion, cut to a whole number and then made even.
fn longest_edge([width, height]: [usize; 2], edge: usize) -> [usize; 2] {
    let ratio = width as f64 / height as f64;
    let even = |length: f64| (length as usize + length as usize % 2).max(1);
    let [width, height] = match width >= height {
        true => [edge, even(edge as f64 / ratio)],
        false => [even(edge as f64 * ratio), edge],
    };
    match width.max(height) > MAX_SIDE {
        true => below([width, height], MAX_SIDE),
        false => [width, height],
    }
}

/// Width and height with the longer side at `edge` and the shorter in proportion.
fn below([width, height]: [usize; 2], edge: usize) -> [usize; 2] {
    let ratio = width as f64 / height as f64;
    match width >= height {
        true => [edge, ((edge as f64 / ratio) as usize).max(1)],
        false => [((edge as f64 * ratio) as usize).max(1), edge],
    }
}

/// Width and height in whole tiles: the longer side rounded up, the shorter in proportion and then rounded up.
fn whole_tiles([width, height]: [usize; 2], side: usize) -> [usize; 2] {
    let ratio = width as f64 / height as f64;
    let up = |length: usize| length.next_multiple_of(side);
    match width >= height {
        true => [up(width), up((up(width) as f64 / ratio) as usize)],
        false => [up((up(height) as f64 * ratio) as usize), up(height)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiler() -> Tiler {
        let (size, max_image_size) = (Edge { longest_edge: 2048 }, Edge { longest_edge: 512 });
        Tiler::new(TilesConfig { size, max_image_size, ..TilesConfig::default() }).unwrap()
    }

    /// Rows, columns and tiles.
    fn grid(size: [usize; 2], bounds: TileBounds) -> [usize; 3] {
        let plan = tiler().plan(size, bounds);
        [plan.rows, plan.columns, plan.tiles()]
    }

    #[test]
    fn published_grids() {
        let whole = TileBounds::default();
        assert_eq!(grid([640, 480], whole), [3, 4, 13]);
        assert_eq!(grid([640, 488], whole), [4, 4, 17]);
        assert_eq!(grid([1, 1], whole), [4, 4, 17]);
        assert_eq!(grid([1, 2000], whole), [4, 1, 5]);
        assert_eq!(grid([2000, 1], whole), [1, 4, 5]);
        let unsplit = TilesConfig { do_image_splitting: false, ..tiler().config };
        assert_eq!(Tiler::new(unsplit).unwrap().plan([640, 480], whole).tiles(), 1);
    }

    #[test]
    fn bounds_make_fewer_tiles() {
        let most = |most| TileBounds { most, enlarge: true };
        assert_eq!(grid([640, 480], most(12)), [3, 3, 10]);
        assert_eq!(grid([640, 480], most(5)), [2, 2, 5]);
        assert_eq!(grid([640, 480], most(1)), [0, 0, 1]);
        assert_eq!(grid([640, 480], most(0)), [0, 0, 1]);
        let unresized = Tiler::new(TilesConfig { do_resize: false, ..tiler().config }).unwrap();
        assert_eq!(unresized.plan([600, 600], most(usize::MAX)).tiles(), 5);
        assert_eq!(unresized.plan([600, 600], most(4)).tiles(), 1);
        let natural = TileBounds { enlarge: false, ..TileBounds::default() };
        assert_eq!(grid([300, 200], natural), [0, 0, 1]);
        assert_eq!(grid([640, 480], natural), [2, 2, 5]);
        assert_eq!(grid([4000, 3000], natural), [3, 4, 13]);
    }

    #[test]
    fn tiles_are_cut_row_by_row_and_the_whole_comes_last() {
        let (size, max_image_size) = (Edge { longest_edge: 8 }, Edge { longest_edge: 4 });
        let tiler = Tiler::new(TilesConfig { size, max_image_size, ..TilesConfig::default() }).unwrap();
        let bytes: Vec<u8> = (0..8 * 8 * 3).map(|i| (i % 251) as u8).collect();
        let image = Image::from_rgb8(8, 8, 24, &bytes).unwrap();
        let tiles = tiler.cut(&image, tiler.plan([8, 8], TileBounds::default())).unwrap();
        assert_eq!(tiles.len(), 5);
        for (index, corner) in [[0, 0], [4, 0], [0, 4], [4, 4]].into_iter().enumerate() {
            let tile = tiles.tile(index, 4).unwrap();
            assert_eq!(tile.pixel(3, 2), image.pixel(corner[0] + 3, corner[1] + 2));
        }
        assert_eq!(tiles.tile(4, 4).unwrap(), image.resize(4, 4, Filter::Lanczos).unwrap());
    }

    #[test]
    fn rules_that_make_no_sense_are_errors() {
        let base = TilesConfig::default();
        assert!(Tiler::new(TilesConfig { resample: 9, ..base.clone() }).is_err());
        assert!(
            Tiler::new(TilesConfig { max_image_size: Edge { longest_edge: 0 }, ..base.clone() }).is_err()
        );
        assert!(Tiler::new(TilesConfig { image_std: [0.0; 3], ..base.clone() }).is_err());
        assert!(Tiler::new(TilesConfig { image_mean: [f32::NAN; 3], ..base }).is_err());
    }
}
