//! A loaded image model, shared by whoever shows it images.

use std::{path::Path, sync::Arc, time::Duration};

use tiny_vlm_image::{Image, Limits, Options as ImageOptions};
use tiny_vlm_models::{ImageFamily, ImageModelInfo, ModelError, Source};
use tiny_vlm_tensor::{Clock, Context, Progress, Silent, SystemClock};

use crate::{Error, LoadOptions, RequestOptions, session::request_stop, workspaces::Workspaces};

/// A loaded image model: it says which class an image is of, or makes a vector of it. Clones share the weights and the
/// threads; any number of threads may show it images at the same time.
#[derive(Clone)]
pub struct ImageModel {
    inner: Arc<Inner>,
}

struct Inner {
    family: Arc<dyn ImageFamily>,
    workspaces: Workspaces,
    threads: usize,
    load_time: Duration,
}

/// What a classifier makes of an image.
#[derive(Clone, Debug)]
pub struct Classification {
    /// A score for each class, in the model's order, before the softmax.
    pub scores: Vec<f32>,
    /// The probability of each class, in the model's order; together one.
    pub probabilities: Vec<f32>,
    /// How long it took.
    pub elapsed: Duration,
    model: ImageModel,
}

/// A class that an image may be of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Class<'a> {
    /// Its number within the model.
    pub number: usize,
    /// What it is called.
    pub label: &'a str,
    /// Its score, before the softmax.
    pub score: f32,
    /// Its probability.
    pub probability: f32,
}

/// The vector that an image model makes of an image.
#[derive(Clone, Debug)]
pub struct Embedding {
    /// The features, as the model's classifier takes them: not brought to a length.
    pub values: Vec<f32>,
    /// How long it took.
    pub elapsed: Duration,
}

impl ImageModel {
    /// Loads the image model in a folder: `config.json`, the processor's, the weights.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, Error> {
        Self::open_with(folder, &LoadOptions::default())
    }

    /// Loads the image model in a folder as described.
    pub fn open_with(folder: impl AsRef<Path>, options: &LoadOptions) -> Result<Self, Error> {
        Self::from_source(&Source::folder(folder.as_ref()), options)
    }

    /// Loads an image model from wherever its files are.
    pub fn from_source(source: &Source, options: &LoadOptions) -> Result<Self, Error> {
        let started = SystemClock.now();
        let family = tiny_vlm_models::load_images(source, &options.model())?;
        let load_time = SystemClock.now().saturating_sub(started);
        Ok(Self::of(family, options, load_time))
    }

    /// A model of a family that was loaded elsewhere, perhaps one that this project does not know.
    pub fn from_family(family: Arc<dyn ImageFamily>, options: &LoadOptions) -> Self {
        Self::of(family, options, Duration::ZERO)
    }

    fn of(family: Arc<dyn ImageFamily>, options: &LoadOptions, load_time: Duration) -> Self {
        let threads = options.resolved_threads();
        let workspaces = Workspaces::new(threads, options.instances);
        Self { inner: Arc::new(Inner { family, workspaces, threads, load_time }) }
    }

    /// Which class an image is of.
    pub fn classify(&self, image: &Image) -> Result<Classification, Error> {
        self.classify_with(image, &RequestOptions::default(), &Silent)
    }

    /// Which class an image is of, within the deadline of `options` unless it is cancelled; `progress` is told how far
    /// it has come.
    pub fn classify_with(
        &self,
        image: &Image,
        options: &RequestOptions,
        progress: &dyn Progress,
    ) -> Result<Classification, Error> {
        let family = &self.inner.family;
        let (scores, elapsed) = self.run(options, progress, |context| family.classify(context, image))?;
        let probabilities = softmax(&scores);
        Ok(Classification { scores, probabilities, elapsed, model: self.clone() })
    }

    /// The vector of an image.
    pub fn embed(&self, image: &Image) -> Result<Embedding, Error> {
        self.embed_with(image, &RequestOptions::default(), &Silent)
    }

    /// The vector of an image, within the deadline of `options` unless it is cancelled; `progress` is told how far it
    /// has come.
    pub fn embed_with(
        &self,
        image: &Image,
        options: &RequestOptions,
        progress: &dyn Progress,
    ) -> Result<Embedding, Error> {
        let family = &self.inner.family;
        let (values, elapsed) = self.run(options, progress, |context| family.features(context, image))?;
        Ok(Embedding { values, elapsed })
    }

    /// What is known of the model.
    pub fn info(&self) -> &ImageModelInfo {
        self.inner.family.info()
    }

    /// How files become the pixels that this model was trained on, within `limits`.
    pub fn image_options(&self, limits: Limits) -> ImageOptions {
        self.inner.family.image_options(limits)
    }

    /// How long loading took.
    pub fn load_time(&self) -> Duration {
        self.inner.load_time
    }

    /// The threads that it works on, all requests together.
    pub fn threads(&self) -> usize {
        self.inner.threads
    }

    fn run<T>(
        &self,
        options: &RequestOptions,
        progress: &dyn Progress,
        work: impl FnOnce(&Context<'_>) -> Result<T, ModelError>,
    ) -> Result<(T, Duration), Error> {
        let started = SystemClock.now();
        let stop = request_stop(options);
        let workspace = self.inner.workspaces.take(&stop, &SystemClock)?;
        let context = workspace.context();
        let context = context.with_stop(&stop).with_progress(progress);
        context.check()?;
        let made = work(&context)?;
        Ok((made, SystemClock.now().saturating_sub(started)))
    }
}

impl Classification {
    /// The `n` likeliest classes, the likeliest first; of equals the one with the lower number first.
    pub fn top(&self, n: usize) -> Vec<Class<'_>> {
        let mut numbers: Vec<usize> = (0..self.scores.len()).collect();
        numbers.sort_by(|&a, &b| self.scores[b].total_cmp(&self.scores[a]));
        numbers.truncate(n);
        let labels = &self.model.info().labels;
        let class = |number: usize| Class {
            number,
            label: labels.get(number).map_or("", String::as_str),
            score: self.scores[number],
            probability: self.probabilities[number],
        };
        numbers.into_iter().map(class).collect()
    }
}

fn softmax(scores: &[f32]) -> Vec<f32> {
    let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> = scores.iter().map(|score| f64::from(score - most).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| (power / sum) as f32).collect()
}

impl std::fmt::Debug for ImageModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImageModel")
            .field("info", self.info())
            .field("threads", &self.threads())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_add_up_to_one_however_large_the_scores() {
        assert_eq!(softmax(&[0.0, 0.0]), [0.5, 0.5]);
        let probabilities = softmax(&[1e30, 1e30, -1e30, 3.0]);
        assert_eq!(probabilities, [0.5, 0.5, 0.0, 0.0]);
        assert!((softmax(&[1.0, 2.0, 3.0]).iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!(softmax(&[]).is_empty());
    }
}
