//! Any text as Florence-2's answer to each of its tasks: regions with corners that are numbers, each within what a
//! picture of that size could have.
#![no_main]
#![forbid(unsafe_code)]

mod checkpoints;

use std::sync::{Arc, LazyLock};

use checkpoints::ANSWERING;
use libfuzzer_sys::fuzz_target;
use tiny_vlm_image::Image;
use tiny_vlm_models::{
    Family, Features, ModelOptions, PreparedPrompt, PromptParts, RegionShape, RequestShape, Task, load,
};
use tiny_vlm_tensor::Workspace;

/// One task of each form that an answer may have.
const TASKS: [&str; 7] = [
    "<OD>",
    "<OCR_WITH_REGION>",
    "<REGION_PROPOSAL>",
    "<CAPTION_TO_PHRASE_GROUNDING> a car",
    "<REFERRING_EXPRESSION_SEGMENTATION> a car",
    "<OPEN_VOCABULARY_DETECTION> a car",
    "<CAPTION>",
];

struct Florence {
    model: Arc<dyn Family>,
    features: [Arc<Features>; 1],
    prompts: Vec<PreparedPrompt>,
}

static FLORENCE: LazyLock<Florence> = LazyLock::new(|| {
    let checkpoint = ANSWERING.iter().find(|checkpoint| checkpoint.kind == "florence2").expect("a fixture");
    let model = load(&checkpoint.with(&[], b""), &ModelOptions::default()).expect("a fixture");
    let image = Image::from_rgb8(7, 5, 21, &[90; 105]).expect("a picture");
    let workspace = Workspace::inline();
    let features = model.encode(&workspace.context(), &image, &RequestShape::default()).expect("a picture");
    let features = [Arc::new(features)];
    let prompt = |task| {
        let parts = PromptParts { history: &[], images: 1, task: Task::Question(task), lang: None };
        model.prompt(&parts, &features).expect("a task")
    };
    let prompts = TASKS.map(prompt).into();
    Florence { model, features, prompts }
});

fuzz_target!(|answer: &str| {
    let Florence { model, features, prompts } = &*FLORENCE;
    for prompt in prompts {
        for region in model.regions(prompt, features, answer) {
            let corners = match &region.shape {
                RegionShape::Box([left, top, right, bottom]) => vec![[*left, *top], [*right, *bottom]],
                RegionShape::Quad(corners) => corners.to_vec(),
                RegionShape::Polygons(outlines) => outlines.concat(),
                _ => Vec::new(),
            };
            assert!(corners.as_flattened().iter().all(|place| place.is_finite()), "{region:?}");
            assert!(region.label.len() <= answer.len(), "{region:?}");
        }
    }
});
