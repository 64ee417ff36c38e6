//! Straightening: a quadrilateral of a picture becomes a rectangle.

use crate::{ImageError, Raster, RasterView};

/// Corners are at most this far from the origin, so that no difference of two overflows.
const FARTHEST: f32 = 1e9;

/// Samples the quadrilateral `quad` (upper left, upper right, lower right, lower left; in pixels, where (0, 0) is the
/// upper left corner of the upper left pixel) into a picture of `width` × `height`.
///
/// Everything is in f32. Output pixel (i, j) looks at `u = (i + 0.5) / width`, `v = (j + 0.5) / height`. Its place in the
/// source is bilinear in the corners: `top = q0 + (q1 - q0) u`, `bottom = q3 + (q2 - q3) u`, `p = top + (bottom - top) v`.
/// The sample at `p - 0.5` is bilinear in the four pixels around it, where pixels beyond the border repeat those at
/// it: first along x in both rows (`a + (b - a) fx`), then along y, rounded half up.
///
/// A rectangle, rotated or not, is mapped without distortion. A corner that is not a number, or that is more than
/// a billion pixels away, is an error.
///
/// ```
/// use tiny_vlm_image::{Grey, warp_quad};
///
/// let image = Grey::from_vec(2, 2, vec![1, 2, 3, 4])?;
/// // A quarter turn: what is on the left becomes the top.
/// let turned = warp_quad(image.view(), [[0.0, 2.0], [0.0, 0.0], [2.0, 0.0], [2.0, 2.0]], 2, 2)?;
/// assert_eq!(turned.data(), [3, 1, 4, 2]);
/// # Ok::<(), tiny_vlm_image::ImageError>(())
/// ```
pub fn warp_quad<const C: usize>(
    image: RasterView<'_, C>,
    quad: [[f32; 2]; 4],
    width: usize,
    height: usize,
) -> Result<Raster<C>, ImageError> {
    let mut out = Raster::new(width, height)?;
    warp_quad_into(image, quad, width, out.data_mut())?;
    Ok(out)
}

/// [`warp_quad`] into memory that is there already: `out` holds rows of `width` pixels, as many as fit.
pub fn warp_quad_into<const C: usize>(
    image: RasterView<'_, C>,
    quad: [[f32; 2]; 4],
    width: usize,
    out: &mut [u8],
) -> Result<(), ImageError> {
    let row_bytes = width.checked_mul(C).filter(|&n| n > 0);
    let row_bytes = row_bytes.ok_or(ImageError::Target { width, height: 0 })?;
    let height = out.len() / row_bytes;
    if height == 0 || height * row_bytes != out.len() {
        return Err(ImageError::Shape { width, height, channels: C, stride: row_bytes, bytes: out.len() });
    }
    if quad.iter().flatten().any(|c| c.is_nan() || c.abs() > FARTHEST) {
        let [x, y] = [0, 1].map(|axis| quad.map(|corner| corner[axis]));
        return Err(ImageError::Area {
            area: [x[0], y[0], x[2], y[2]],
            width: image.width(),
            height: image.height(),
        });
    }
    let (last_x, last_y) = ((image.width() - 1) as f32, (image.height() - 1) as f32);
    for (j, row) in out.chunks_exact_mut(row_bytes).enumerate() {
        let v = (j as f32 + 0.5) / height as f32;
        for (i, pixel) in row.as_chunks_mut::<C>().0.iter_mut().enumerate() {
            let u = (i as f32 + 0.5) / width as f32;
            let [x, y] = [0, 1].map(|axis| {
                let [q0, q1, q2, q3] = quad.map(|corner| corner[axis]);
                let top = q0 + (q1 - q0) * u;
                let bottom = q3 + (q2 - q3) * u;
                top + (bottom - top) * v - 0.5
            });
            // Clamping the place itself equals repeating the border pixels.
            let (x, y) = (x.clamp(0.0, last_x), y.clamp(0.0, last_y));
            let (x0, y0) = (x as usize, y as usize);
            let (fx, fy) = (x - x0 as f32, y - y0 as f32);
            let x1 = (x0 + 1).min(image.width() - 1);
            let y1 = (y0 + 1).min(image.height() - 1);
            let rows = [y0, y1].map(|y| image.row(y).as_chunks::<C>().0);
            let corners = rows.map(|row| [row[x0], row[x1]]);
            for (c, value) in pixel.iter_mut().enumerate() {
                let [upper, lower] = corners.map(|[a, b]| {
                    let (a, b) = (f32::from(a[c]), f32::from(b[c]));
                    a + (b - a) * fx
                });
                *value = (upper + (lower - upper) * fy + 0.5) as u8;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Grey, Image};

    fn rectangle(left: f32, top: f32, right: f32, bottom: f32) -> [[f32; 2]; 4] {
        [[left, top], [right, top], [right, bottom], [left, bottom]]
    }

    #[test]
    fn the_whole_picture_at_its_own_size_is_itself() {
        let image = Image::from_vec(5, 3, (0..45).map(|i| (i * 5) as u8).collect()).unwrap();
        let same = warp_quad(image.view(), rectangle(0.0, 0.0, 5.0, 3.0), 5, 3).unwrap();
        assert_eq!(same, image);
    }

    #[test]
    fn outside_repeats_the_border() {
        let image = Grey::from_vec(2, 1, vec![10, 200]).unwrap();
        let wide = warp_quad(image.view(), rectangle(-3.0, -9.0, 5.0, 9.0), 8, 2).unwrap();
        assert_eq!(wide.row(0), [10, 10, 10, 10, 200, 200, 200, 200]);
        assert_eq!(wide.row(0), wide.row(1));
    }

    #[test]
    fn halfway_is_the_mean() {
        let image = Grey::from_vec(2, 2, vec![0, 100, 50, 151]).unwrap();
        let centre = warp_quad(image.view(), rectangle(0.5, 0.5, 1.5, 1.5), 1, 1).unwrap();
        assert_eq!(centre.data(), [75]);
    }

    #[test]
    fn bad_quads_and_targets_are_errors() {
        let image = Grey::from_vec(1, 1, vec![7]).unwrap();
        let huge = rectangle(-1e9, -1e9, 1e9, 1e9);
        assert!(warp_quad(image.view(), rectangle(-f32::MAX, 0.0, 1.0, 1.0), 1, 1).is_err());
        assert!(warp_quad(image.view(), rectangle(f32::NAN, 0.0, 1.0, 1.0), 1, 1).is_err());
        assert!(warp_quad(image.view(), rectangle(f32::INFINITY, 0.0, 1.0, 1.0), 1, 1).is_err());
        assert!(warp_quad(image.view(), rectangle(0.0, 0.0, 1.0, 1.0), 0, 1).is_err());
        assert!(warp_quad(image.view(), rectangle(0.0, 0.0, 1.0, 1.0), 1, 0).is_err());
        assert_eq!(warp_quad(image.view(), huge, 3, 3).unwrap().data(), [7; 9]);
        let flat = warp_quad(image.view(), rectangle(0.0, 0.0, 0.0, 0.0), 3, 1).unwrap();
        assert_eq!(flat.data(), [7; 3]);
    }
}
