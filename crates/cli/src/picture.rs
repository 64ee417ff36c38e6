//! Pictures that are made up, for commands that need one and are given none.

use tiny_vlm::Image;

use crate::failure::Failure;

/// A red disc and a blue square on a pale ground.
pub(crate) fn drawing(width: usize, height: usize) -> Result<Image, Failure> {
    paint(width, height, |x, y| {
        let (u, v) = (x as f32 / width as f32, y as f32 / height as f32);
        let (du, dv) = (u - 0.3, v - 0.4);
        if du * du + dv * dv < 0.04 {
            [210, 40, 30]
        } else if (0.6..0.85).contains(&u) && (0.5..0.8).contains(&v) {
            [30, 60, 200]
        } else {
            [235, 230, (200.0 + 40.0 * u) as u8]
        }
    })
}

/// Noise from a small generator (Marsaglia, 2003).
pub(crate) fn noise(width: usize, height: usize) -> Result<Image, Failure> {
    let mut state = 0x2545_f491u32;
    paint(width, height, |_, _| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        let [r, g, b, _] = state.to_le_bytes();
        [r, g, b]
    })
}

fn paint(
    width: usize,
    height: usize,
    mut colour: impl FnMut(usize, usize) -> [u8; 3],
) -> Result<Image, Failure> {
    let mut pixels = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        for x in 0..width {
            pixels.extend(colour(x, y));
        }
    }
    Image::from_rgb8(width, height, width * 3, &pixels)
        .map_err(|error| Failure::from(tiny_vlm::Error::from(error)))
}
