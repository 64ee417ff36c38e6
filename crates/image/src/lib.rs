//! Bytes to pixels: header checks, decoding, orientation, Pillow-exact resampling.
//!
//! A picture comes in as a file's bytes ([`Image::decode`]), a path ([`Image::open`]) or pixels
//! ([`Image::from_rgb8`]). A file's header is read and held against [`Limits`] before any of its pixels is decoded, so
//! that a small file which claims to be enormous costs nothing. What comes out is RGB, one byte a channel, upright.
//!
//! Models are trained on pictures that Pillow decoded and resized, and pixels that are nearly right make answers that
//! are nearly right. Decoding gives the bytes of Pillow's `convert("RGB")` (with [`Options::pillow`]), JPEG included, and
//! [`RasterView::resize`] those of its `Image.resize`.
//!
//! ```
//! use tiny_vlm_image::{Filter, Image};
//!
//! let checks: Vec<u8> = (0..64 * 48).flat_map(|i| [if (i / 8 + i / 512) % 2 == 0 { 0 } else { 255 }; 3]).collect();
//! let image = Image::from_rgb8(64, 48, 64 * 3, &checks)?;
//! let small = image.resize(20, 10, Filter::Bicubic)?;
//! let corner = image.view().resize(20, 10, Filter::Lanczos, Some([0.0, 0.0, 32.5, 24.0]))?;
//! assert_eq!((small.width(), corner.height()), (20, 10));
//! # Ok::<(), tiny_vlm_image::ImageError>(())
//! ```
#![forbid(unsafe_code)]

mod coefficients;
mod colour;
mod decode;
mod error;
mod exif;
mod header;
mod limits;
mod passes;
mod raster;
mod resize;
mod warp;
mod webp_header;

pub use colour::{Alpha, DeepGrey};
pub use decode::Options;
pub use error::{Detail, ImageError};
pub use exif::Orientation;
pub use header::{Format, Header};
pub use limits::Limits;
pub use raster::{Grey, Image, Raster, RasterView};
pub use resize::{Filter, Passes, Resizer};
pub use warp::{warp_quad, warp_quad_into};
