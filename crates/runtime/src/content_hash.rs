//! The key under which features are kept: all of the pixels, the size, the way they were looked at, and the model.

use std::hash::{BuildHasher, Hash, RandomState};

use siphasher::sip128::{Hasher128, SipHasher13};
use tiny_vlm_image::Image;
use tiny_vlm_models::RequestShape;

/// 128 bits that stand for an image as one model looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ContentKey(u128);

/// Makes keys. Its own key is random, so that nobody can prepare two images that share one.
#[derive(Clone, Debug)]
pub(crate) struct ContentHasher {
    keys: (u64, u64),
}

impl ContentHasher {
    /// A hasher for one loaded model; keys of different hashers have nothing to do with each other.
    pub(crate) fn new() -> Self {
        let random = RandomState::new();
        Self { keys: (random.hash_one(0u8), random.hash_one(1u8)) }
    }

    pub(crate) fn key(&self, image: &Image, shape: &RequestShape) -> ContentKey {
        let mut hasher = SipHasher13::new_with_keys(self.keys.0, self.keys.1);
        (image.width(), image.height(), shape).hash(&mut hasher);
        std::hash::Hasher::write(&mut hasher, image.data());
        ContentKey(hasher.finish128().as_u128())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_and_the_shape_count() {
        let hasher = ContentHasher::new();
        let image = |w, h, last| {
            let mut data = vec![7u8; w * h * 3];
            *data.last_mut().unwrap() = last;
            Image::from_rgb8(w, h, w * 3, &data).unwrap()
        };
        let whole = RequestShape::default();
        let key = hasher.key(&image(4, 2, 7), &whole);
        assert_eq!(key, hasher.key(&image(4, 2, 7), &whole));
        assert_ne!(key, hasher.key(&image(4, 2, 8), &whole));
        assert_ne!(key, hasher.key(&image(2, 4, 7), &whole));
        assert_ne!(key, hasher.key(&image(4, 2, 7), &whole.with_max_tiles(Some(1))));
        assert_ne!(key, ContentHasher::new().key(&image(4, 2, 7), &whole));
    }
}
