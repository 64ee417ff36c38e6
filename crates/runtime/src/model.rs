//! A loaded model, shared by whoever asks it.

use std::{path::Path, sync::Arc, time::Duration};

use tiny_vlm_image::{Image, Limits, Options as ImageOptions};
use tiny_vlm_models::{Family, Features, ImageCost, Lang, ModelInfo, RequestShape, Source};
use tiny_vlm_tensor::{Clock, Progress, Stop, SystemClock};

use crate::{
    Answer, CacheStats, Error, LoadOptions, Prompt, Reading, RequestOptions, Session,
    content_hash::ContentHasher, feature_cache::FeatureCache, workspaces::Workspaces,
};

/// A loaded model. Clones share the weights, the threads and the features of images seen before; any number of threads
/// may ask it at the same time.
#[derive(Clone)]
pub struct Model {
    inner: Arc<Inner>,
}

struct Inner {
    family: Arc<dyn Family>,
    workspaces: Workspaces,
    features: FeatureCache,
    #[cfg(feature = "grammar")]
    grammar_compiler: std::sync::OnceLock<tiny_vlm_text::GrammarCompiler>,
    hasher: ContentHasher,
    threads: usize,
    load_time: Duration,
}

impl Model {
    /// Loads the model in a folder: `config.json`, the tokenizer, the weights.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, Error> {
        Self::open_with(folder, &LoadOptions::default())
    }

    /// Loads the model in a folder as described.
    pub fn open_with(folder: impl AsRef<Path>, options: &LoadOptions) -> Result<Self, Error> {
        Self::from_source(&Source::folder(folder.as_ref()), options)
    }

    /// Loads a model from wherever its files are.
    pub fn from_source(source: &Source, options: &LoadOptions) -> Result<Self, Error> {
        let started = SystemClock.now();
        let family = tiny_vlm_models::load(source, &options.model())?;
        let mut model = Inner::new(family, options);
        model.load_time = SystemClock.now().saturating_sub(started);
        Ok(Self { inner: Arc::new(model) })
    }

    /// A model of a family that was loaded elsewhere, perhaps one that this project does not know.
    pub fn from_family(family: Arc<dyn Family>, options: &LoadOptions) -> Self {
        Self { inner: Arc::new(Inner::new(family, options)) }
    }

    /// The answer to a question about an image.
    pub fn ask(&self, image: &Image, question: &str) -> Result<Answer, Error> {
        self.ask_with(image, question, &RequestOptions::default())
    }

    /// The answer to a question about an image, as described.
    pub fn ask_with(&self, image: &Image, question: &str, options: &RequestOptions) -> Result<Answer, Error> {
        self.session().stream(Prompt::new().image(image).text(question), options)?.answer()
    }

    /// What is in an image, in the language `lang`.
    pub fn caption(&self, image: &Image, lang: Lang) -> Result<Answer, Error> {
        let prompt = Prompt::new().image(image).caption(lang);
        self.session().stream(prompt, &RequestOptions::default())?.answer()
    }

    /// The things on an image and where they are: an answer's regions.
    pub fn detect(&self, image: &Image) -> Result<Answer, Error> {
        let prompt = Prompt::new().image(image).detect();
        self.session().stream(prompt, &RequestOptions::default())?.answer()
    }

    /// The print on an image.
    pub fn read(&self, image: &Image) -> Result<Reading, Error> {
        self.session().read(image, &RequestOptions::default())
    }

    /// A conversation about images.
    pub fn session(&self) -> Session {
        Session::new(self.clone())
    }

    /// What is known of the model.
    pub fn info(&self) -> &ModelInfo {
        self.inner.family.info()
    }

    /// How files become the pixels that this model was trained on, within `limits`.
    pub fn image_options(&self, limits: Limits) -> ImageOptions {
        self.inner.family.image_options(limits)
    }

    /// Tiles and tokens that an image of this width and height comes to, where the model knows before it looks.
    pub fn image_cost(&self, size: [usize; 2], shape: &RequestShape) -> Option<ImageCost> {
        self.inner.family.image_cost(size, shape)
    }

    /// How long loading took.
    pub fn load_time(&self) -> Duration {
        self.inner.load_time
    }

    /// The threads that it works on, all requests together.
    pub fn threads(&self) -> usize {
        self.inner.threads
    }

    /// What is kept of images seen before.
    pub fn feature_cache(&self) -> CacheStats {
        self.inner.features.stats()
    }

    /// Forgets the images seen before, as when the system runs short of memory.
    pub fn forget_images(&self) {
        self.inner.features.clear();
    }

    pub(crate) fn family(&self) -> &dyn Family {
        &*self.inner.family
    }

    /// Made for the first request that asks for a form.
    #[cfg(feature = "grammar")]
    pub(crate) fn grammar_compiler(&self) -> &std::sync::OnceLock<tiny_vlm_text::GrammarCompiler> {
        &self.inner.grammar_compiler
    }

    pub(crate) fn workspaces(&self) -> &Workspaces {
        &self.inner.workspaces
    }

    /// The features of an image: those that are kept, or new ones.
    pub(crate) fn features(
        &self,
        image: &Image,
        shape: &RequestShape,
        stop: &Stop,
        progress: &dyn Progress,
    ) -> Result<Arc<Features>, Error> {
        let inner = &*self.inner;
        let key = inner.features.is_enabled().then(|| inner.hasher.key(image, shape));
        if let Some(kept) = key.and_then(|key| inner.features.get(key)) {
            return Ok(kept);
        }
        let workspace = inner.workspaces.take(stop, &SystemClock)?;
        let context = workspace.context();
        let context = context.with_stop(stop).with_progress(progress);
        context.check()?;
        let features = Arc::new(inner.family.encode(&context, image, shape)?);
        if let Some(key) = key {
            inner.features.put(key, &features);
        }
        Ok(features)
    }
}

impl Inner {
    fn new(family: Arc<dyn Family>, options: &LoadOptions) -> Self {
        let threads = options.resolved_threads();
        Self {
            family,
            workspaces: Workspaces::new(threads, options.instances),
            features: FeatureCache::new(options.feature_cache_bytes),
            #[cfg(feature = "grammar")]
            grammar_compiler: std::sync::OnceLock::new(),
            hasher: ContentHasher::new(),
            threads,
            load_time: Duration::ZERO,
        }
    }
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model")
            .field("info", self.info())
            .field("threads", &self.threads())
            .finish_non_exhaustive()
    }
}
