//! Pixels to features: image processors, vision towers, text-line finding and reading.
//!
//! What [nano](Tower) sees goes through here:
//!
//! - a [`ThingsFinder`] finds things in the whole picture, and a [`Tower`] makes a vector of each that says what it is
//!   ([`glimpse_box`], [`Tower::glimpse`]);
//! - a [`PrintReader`] finds lines at several sizes ([`LinesFinder`]), cuts their strips ([`Pyramid`]), reads them
//!   ([`Reader`]) and puts them in [`reading_order`].
//!
//! What other families see: a [`Tiler`] cuts a picture into square tiles, and a [`SiglipTower`] makes a vector of each
//! patch of a tile.
//! Classifiers take a [`SquareProcessor`]'s pixels; [`ResNet`] makes a map of features of them, and [`global_mean`] one
//! vector.
//! [`FastVit`] is the tower of FastVLM and, with a head, a classifier of its own.
//! Florence-2's tower is a [`Davit`], which takes a [`SquareProcessor`]'s pixels.
//!
//! Networks take the weights' [`Scope`](tiny_vlm_weights::Scope) and a config, and run in a
//! [`Context`](tiny_vlm_tensor::Context). The rules between them are plain functions over maps and boxes:
//!
//! ```
//! use tiny_vlm_tensor::Tensor;
//! use tiny_vlm_vision::{ThingsConfig, find_things};
//!
//! // Centre logit, log width, log height, dx, dy of each cell: one thing, two cells wide, in the middle cell.
//! let map = Tensor::from_fn([3, 3, 5], |cell| match cell {
//!     [1, 1, 0] => 4.0,
//!     [_, _, 0] => -4.0,
//!     [_, _, 1] => 2.0_f32.ln(),
//!     _ => 0.0,
//! });
//! let things = find_things(map.view(), &ThingsConfig::default());
//! assert_eq!(things.len(), 1);
//! assert!((things[0].bounds[0] - 0.5 / 3.0).abs() < 1e-6);
//! ```
#![forbid(unsafe_code)]

mod config;
mod davit;
mod error;
mod fastvit;
mod folded;
mod lines;
mod padded;
mod parts;
mod pixels;
mod pool;
mod print;
mod quad;
mod reader;
mod reading_order;
mod resnet;
mod siglip;
mod square;
mod things;
mod tiles;
mod tower;
mod trunk;
mod upsample;

pub use config::{LinesConfig, ReaderConfig, ThingsConfig, TowerConfig};
pub use davit::{Davit, DavitConfig, DavitLayout, DavitStep};
pub use error::VisionError;
pub use fastvit::{FastVit, FastVitConfig, FastVitSizes};
pub use lines::{
    FoundLine, Level, LinesFinder, MOST_LINES, Pyramid, Strip, find_lines, level_size, merge_levels,
    surest_lines,
};
pub use pool::global_mean;
pub use print::{Line, PrintReader};
pub use quad::{Quad, area, bounds, overlap};
pub use reader::{Reader, Transcript, transcribe};
pub use reading_order::reading_order;
pub use resnet::{ResNet, ResNetConfig, ResNetNames};
pub use siglip::{SiglipConfig, SiglipTower, position_of_patches};
pub use square::{Fit, Middle, Normalize, SquareProcessor};
pub use things::{Thing, ThingsFinder, find_things, glimpse_box};
pub use tiles::{Edge, TileBounds, TilePlan, Tiler, Tiles, TilesConfig};
pub use tower::Tower;
