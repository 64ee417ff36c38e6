//! Cutting a line's strip out of a page, straightened and of the reader's height.

use tiny_vlm_image::{Grey, ImageError};

use crate::quad::{Quad, distance};

/// A strip's narrowest and widest, in its own pixels.
const WIDTHS: [f64; 2] = [16.0, 2048.0];

/// A strip this many times higher than the reader wants is cut from a smaller picture.
const SHRINK: f64 = 1.6;

/// A grey picture and its halvings, each made when a strip first needs it.
#[derive(Debug)]
pub struct Pyramid {
    levels: Vec<Grey>,
}

/// Pixels of a line, straight and upright, row after row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Strip {
    /// Pixels in a row.
    pub width: usize,
    /// Brightness; 0 to 255 until [normalised](Strip::normalise).
    pub pixels: Vec<f32>,
}

impl Pyramid {
    /// A pyramid of one level.
    pub fn new(grey: Grey) -> Self {
        Pyramid { levels: vec![grey] }
    }

    /// The picture itself.
    pub fn base(&self) -> &Grey {
        &self.levels[0]
    }

    /// The strip of `height` rows inside a quad, sampled bilinearly from the halving that suits it. Beyond the border
    /// the picture repeats its last pixels.
    pub fn cut_strip(&mut self, quad: &Quad, height: usize) -> Result<Strip, ImageError> {
        let mean = |a: f64, b: f64| (a + b) / 2.0;
        let across = mean(distance(quad[3], quad[0]), distance(quad[2], quad[1]));
        let along = mean(distance(quad[1], quad[0]), distance(quad[2], quad[3]));
        let wanted = (height as f64 * along / across / 4.0 + 0.5).floor() * 4.0;
        let wanted = if wanted.is_nan() { WIDTHS[0] } else { wanted };
        let width = wanted.clamp(WIDTHS[0], WIDTHS[1]) as usize;
        let mut step = 0;
        while across / (step as f64).exp2() > SHRINK * height as f64 && can_halve(self.smallest()) {
            step += 1;
            if step == self.levels.len() {
                self.levels.push(halve(self.smallest())?);
            }
        }
        let factor = (step as f64).exp2();
        Ok(warp(&self.levels[step], quad.map(|corner| corner.map(|c| (c / factor) as f32)), width, height))
    }

    fn smallest(&self) -> &Grey {
        &self.levels[self.levels.len() - 1]
    }
}

impl Strip {
    /// Takes pixels to zero mean and, nearly, unit deviation.
    pub fn normalise(&mut self) {
        let count = self.pixels.len().max(1) as f64;
        let mean = (self.pixels.iter().map(|&p| f64::from(p)).sum::<f64>() / count) as f32;
        let square = |&p: &f32| f64::from((p - mean) * (p - mean));
        let deviation = (self.pixels.iter().map(square).sum::<f64>() / count).sqrt() as f32;
        for pixel in &mut self.pixels {
            *pixel = (*pixel - mean) / (deviation + 8.0);
        }
    }
}

fn can_halve(grey: &Grey) -> bool {
    grey.width().min(grey.height()) >= 2
}

/// Means of 2 × 2 pixels, rounded half up; an odd last row or column is dropped.
fn halve(grey: &Grey) -> Result<Grey, ImageError> {
    let mut out = Grey::new(grey.width() / 2, grey.height() / 2)?;
    for y in 0..out.height() {
        let (upper, lower) = (grey.row(2 * y), grey.row(2 * y + 1));
        let pairs = upper.as_chunks::<2>().0.iter().zip(lower.as_chunks::<2>().0);
        for (pixel, (a, b)) in out.row_mut(y).iter_mut().zip(pairs) {
            let sum: u16 = a.iter().chain(b).map(|&p| u16::from(p)).sum();
            *pixel = ((sum + 2) / 4) as u8;
        }
    }
    Ok(out)
}

/// Pixels of a rectangle that a quad of the picture is stretched to, all in f32. A pixel's place is bilinear in the
/// corners, its brightness bilinear in the four pixels around that place. A place that is no number is the first pixel.
fn warp(grey: &Grey, quad: [[f32; 2]; 4], width: usize, height: usize) -> Strip {
    let last = [grey.width() - 1, grey.height() - 1];
    let mut pixels = Vec::with_capacity(width * height);
    for j in 0..height {
        let v = (j as f32 + 0.5) / height as f32;
        for i in 0..width {
            let u = (i as f32 + 0.5) / width as f32;
            let [x, y] = [0, 1].map(|axis| {
                let [q0, q1, q2, q3] = quad.map(|corner| corner[axis]);
                let (top, bottom) = (q0 + (q1 - q0) * u, q3 + (q2 - q3) * u);
                (top + (bottom - top) * v - 0.5).max(0.0).min(last[axis] as f32)
            });
            let (x0, y0) = (x as usize, y as usize);
            let (fx, fy) = (x - x0 as f32, y - y0 as f32);
            let (x1, y1) = ((x0 + 1).min(last[0]), (y0 + 1).min(last[1]));
            let [upper, lower] = [y0, y1].map(|y| {
                let row = grey.row(y);
                let (a, b) = (f32::from(row[x0]), f32::from(row[x1]));
                a + (b - a) * fx
            });
            pixels.push(upper + (lower - upper) * fy);
        }
    }
    Strip { width, pixels }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halving_rounds_half_up_and_drops_the_odd() {
        let grey = Grey::from_vec(3, 3, vec![0, 1, 9, 0, 1, 9, 9, 9, 9]).unwrap();
        let half = halve(&grey).unwrap();
        assert_eq!((half.width(), half.height(), half.data()), (1, 1, &[1][..]));
    }

    #[test]
    fn quads_that_are_none_make_strips_all_the_same() {
        let mut pyramid = Pyramid::new(Grey::from_vec(5, 3, vec![7; 15]).unwrap());
        let corners = [0.0, -1e300, 1e300, 1e9, f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
        for a in corners {
            for b in corners {
                let quads =
                    [[[a, b]; 4], [[a, a], [b, a], [b, b], [a, b]], [[0.0, 0.0], [a, 0.0], [a, b], [b, 2.0]]];
                for quad in quads {
                    let mut strip = pyramid.cut_strip(&quad, 32).unwrap();
                    assert!((16..=2048).contains(&strip.width) && strip.pixels.len() == 32 * strip.width);
                    assert!(strip.pixels.iter().all(|&p| p == 7.0));
                    strip.normalise();
                    assert!(strip.pixels.iter().all(|&p| p == 0.0));
                }
            }
        }
    }
}
