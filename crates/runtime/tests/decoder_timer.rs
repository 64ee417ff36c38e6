//! Timing the decoder of a checkpoint: there is room for as many tokens as the model says, and times are times.

use std::{path::PathBuf, time::Duration};

use tiny_vlm_image::Image;
use tiny_vlm_runtime::{LoadOptions, Model, RequestOptions};

fn model(name: &str) -> Model {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/models").join(name);
    Model::open_with(folder, &LoadOptions::default().threads(1)).unwrap()
}

fn image() -> Image {
    Image::from_rgb8(30, 20, 90, &[120; 1800]).unwrap()
}

#[test]
fn decoders_behind_images_are_timed() {
    for name in ["smolvlm-tiny", "fastvlm", "fastvlm-apple", "florence2"] {
        let mut decoder = model(name).time_decoder(&image(), &RequestOptions::default()).unwrap();
        assert!(decoder.decode(3).unwrap() > Duration::ZERO, "{name}");
        let all = decoder.context();
        assert!(decoder.prefill(all - 2).unwrap() > Duration::ZERO, "{name}");
        assert!(decoder.decode(2).unwrap() > Duration::ZERO, "{name}");
        // It is full, until it begins again.
        assert_eq!(decoder.decode(1).unwrap_err().code(), "question-too-long");
        assert_eq!(decoder.prefill(all + 1).unwrap_err().code(), "question-too-long");
        assert!(decoder.prefill(1).is_ok() && decoder.decode(1).is_ok());
        assert_eq!(decoder.prefill(0).unwrap_err().code(), "parameter-range");
    }
}

#[test]
fn timing_can_be_stopped() {
    let options = RequestOptions::default();
    let mut decoder = model("smolvlm-tiny").time_decoder(&image(), &options).unwrap();
    options.cancel.cancel();
    assert_eq!(decoder.prefill(5).unwrap_err().code(), "cancelled");
    assert_eq!(model("smolvlm-tiny").time_decoder(&image(), &options).unwrap_err().code(), "cancelled");
}
