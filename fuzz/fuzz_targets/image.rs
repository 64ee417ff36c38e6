//! Any bytes as a picture: decoded or refused, and never other than the header said.
#![no_main]
#![forbid(unsafe_code)]

use libfuzzer_sys::fuzz_target;
use tiny_vlm_image::{Header, Image, Limits, Options};

fuzz_target!(|bytes: &[u8]| {
    // Small pictures have all that large ones have, and are many times as many a second.
    let limits = Limits::default().with_max_pixels(1 << 16).with_max_ratio(5000);
    let header = Header::read(bytes, &limits);
    for options in [Options::with_limits(limits), Options::pillow(limits)] {
        match (&header, Image::decode_with(bytes, &options)) {
            (Ok(header), Ok(image)) => {
                assert_eq!((header.width(), header.height()), (image.width(), image.height()));
            }
            (Err(_), Ok(_)) => panic!("decoded past its header"),
            (_, Err(error)) => assert!(!error.to_string().is_empty()),
        }
    }
});
