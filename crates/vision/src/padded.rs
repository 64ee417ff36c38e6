//! A picture on a square of one colour, resized: Pillow's bytes, without the square in between.
//!
//! Of a panorama the square would be many times as large. Pillow resizes across and then down, with bytes in between, and
//! the square's own rows stay its colour: so the picture's rows go across one band after the other, and down between
//! rows of that colour.

use tiny_vlm_image::{Filter, Image, ImageError, RasterView, Resizer};
use tiny_vlm_tensor::Context;

/// Rows that are padded at a time.
const BAND: usize = 64;

/// The picture in the middle of the smallest square of `colour` that holds it, resized to `side` × `side`.
///
/// Where an odd number of rows or columns is left over, the one more lies behind it.
pub(crate) fn resize_padded(
    ctx: &Context<'_>,
    image: &Image,
    side: usize,
    filter: Filter,
    colour: [u8; 3],
) -> Result<Image, ImageError> {
    let (width, height) = (image.width(), image.height());
    let longest = width.max(height);
    let (left, top) = ((longest - width) / 2, (longest - height) / 2);
    let mut resizer = Resizer::new();
    let mut across = of_colour(side, longest, colour)?;
    let mut band = of_colour(longest, BAND.min(height), colour)?;
    for first in (0..height).step_by(BAND) {
        let rows = BAND.min(height - first);
        for row in 0..rows {
            band.row_mut(row)[3 * left..3 * (left + width)].copy_from_slice(image.row(first + row));
        }
        let from = RasterView::<3>::new(longest, rows, 3 * longest, band.data())?;
        let to = &mut across.data_mut()[3 * side * (top + first)..][..3 * side * rows];
        resizer.resize_with(ctx, from, None, filter, (side, rows), to)?;
    }
    let mut out = Image::new(side, side)?;
    resizer.resize_with(ctx, across.view(), None, filter, (side, side), out.data_mut())?;
    Ok(out)
}

fn of_colour(width: usize, height: usize, colour: [u8; 3]) -> Result<Image, ImageError> {
    let mut image = Image::new(width, height)?;
    if colour != [0; 3] {
        image.data_mut().as_chunks_mut::<3>().0.fill(colour);
    }
    Ok(image)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tiny_vlm_tensor::Workspace;

    /// As if the square had been there.
    #[test]
    fn the_square_need_not_be_there() {
        let workspace = Workspace::new(2);
        let ctx = workspace.context();
        for (width, height) in [(150, 97), (70, 201), (1, 90), (65, 1), (40, 40)] {
            let bytes: Vec<u8> = (0..width * height * 3).map(|i| (i * 7919 % 251) as u8).collect();
            let image = Image::from_rgb8(width, height, 3 * width, &bytes).unwrap();
            let longest = width.max(height);
            let mut square = of_colour(longest, longest, [9, 200, 30]).unwrap();
            let (left, top) = ((longest - width) / 2, (longest - height) / 2);
            for y in 0..height {
                square.row_mut(top + y)[3 * left..][..3 * width].copy_from_slice(image.row(y));
            }
            for side in [1, 40, 64, 230] {
                let expected = square.resize(side, side, Filter::Bicubic).unwrap();
                let ours = resize_padded(&ctx, &image, side, Filter::Bicubic, [9, 200, 30]).unwrap();
                assert!(ours.data() == expected.data(), "{width}x{height} to {side}");
            }
        }
    }
}
