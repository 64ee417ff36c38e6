//! One model and what it is asked.

use crate::Failure;
use crate::answer::{
    AnswerReply, CacheReply, ClassificationReply, EmbeddingReply, ImageModelReply, ModelReply, ReadingReply,
};
use crate::request::{self, Open, Run, Task};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;
use tiny_vlm::{
    CacheStats, Error, Image, ImageLimits, ImageModel, ImageOptions, Lang, LoadOptions, Model, Progress,
    Prompt, RequestOptions, Source, Stop, System,
};
use tiny_vlm_memory::{AlignedVec, SharedBytes};

/// Bytes of the largest file that is taken for a picture. Cameras write more than the library's default allows.
const MAX_IMAGE_BYTES: u64 = 64 << 20;

/// Who hears of an answer while it is written.
pub trait Host: Send + Sync {
    /// The next piece of the text.
    fn piece(&self, text: &str);

    /// `done` of `total` steps of `stage` are done.
    fn progress(&self, stage: &str, done: usize, total: usize);
}

/// A host that hears nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silence;

impl Host for Silence {
    fn piece(&self, _text: &str) {}

    fn progress(&self, _stage: &str, _done: usize, _total: usize) {}
}

/// One model, the image it is shown, and bytes on their way in and out.
#[derive(Debug, Default)]
pub struct Engine {
    /// They start on a cache line, so that packed weights are used where a download was written.
    buffers: BTreeMap<u32, AlignedVec<u8>>,
    next_buffer: u32,
    files: BTreeMap<String, SharedBytes>,
    model: Option<Loaded>,
    image: Option<Image>,
    reply: Vec<u8>,
    stop: Stop,
}

/// A model of either kind: one that answers in words, or one that takes an image and no words.
#[derive(Debug)]
enum Loaded {
    Answers(Model),
    Images(ImageModel),
}

impl Engine {
    /// An engine whose requests `stop` ends.
    pub fn with_stop(stop: Stop) -> Self {
        Self { stop, ..Self::default() }
    }

    /// A new buffer of `len` zeros, by number.
    pub fn buffer(&mut self, len: usize) -> Result<u32, Failure> {
        let bytes = AlignedVec::try_zeroed(len).map_err(|_| Failure::memory(len))?;
        self.next_buffer = self.next_buffer.wrapping_add(1).max(1);
        self.buffers.insert(self.next_buffer, bytes);
        Ok(self.next_buffer)
    }

    /// A buffer, to be written.
    pub fn bytes(&mut self, buffer: u32) -> Result<&mut [u8], Failure> {
        self.buffers.get_mut(&buffer).map(AlignedVec::as_mut_slice).ok_or_else(no_buffer)
    }

    /// Gives a buffer's memory back.
    pub fn release(&mut self, buffer: u32) {
        self.buffers.remove(&buffer);
    }

    /// Replies with the SHA-256 of a buffer.
    pub fn checksum(&mut self, buffer: u32) -> Result<(), Failure> {
        let digest = Sha256::digest(&*self.bytes(buffer)?);
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        self.reply(&hex)
    }

    /// Adds a file to the model that is opened next: one buffer has its name and one its bytes.
    pub fn file(&mut self, name: u32, bytes: u32) -> Result<(), Failure> {
        let name = self.take(name)?;
        let name = str::from_utf8(&name).map_err(|_| Failure::request("a name is not UTF-8"))?;
        let bytes = self.take(bytes)?;
        self.files.insert(name.to_owned(), bytes.into());
        Ok(())
    }

    /// Loads the model that the files make, as the JSON of a buffer says, and replies with what is known of it. The files
    /// are gone then, whether it could be loaded or not.
    pub fn open(&mut self, options: u32) -> Result<(), Failure> {
        let options: Open = request::parse(&self.take(options)?)?;
        let source = Source::files(std::mem::take(&mut self.files));
        let loaded = load(&source, &options.options()?)?;
        let isa = System::detect().isa;
        let reply = match &loaded {
            Loaded::Answers(model) => self.reply(&ModelReply::new(model, isa)),
            Loaded::Images(model) => self.reply(&ImageModelReply::new(model, isa)),
        };
        self.model = Some(loaded);
        reply
    }

    /// Decodes the picture file in a buffer, to be asked about.
    pub fn image(&mut self, file: u32) -> Result<(), Failure> {
        let bytes = self.take(file)?;
        let limits = ImageLimits::default().with_max_bytes(MAX_IMAGE_BYTES);
        // The picture before is of no more use, and two may be more than there is memory for.
        self.image = None;
        let options = self.loaded()?.image_options(limits);
        self.show(Image::decode_with(&bytes, &options).map_err(Error::from)?)
    }

    /// Takes pixels of red, green, blue and opacity, to be asked about; they are laid on white.
    pub fn pixels(&mut self, rgba: u32, width: usize, height: usize) -> Result<(), Failure> {
        let rgba = self.take(rgba)?;
        self.image = None;
        let size = (width as u64, height as u64);
        ImageLimits::default().check_size(size.0, size.1).map_err(Error::from)?;
        let (pixels, rest) = rgba.as_chunks::<4>();
        if !rest.is_empty() || pixels.len() as u64 != size.0 * size.1 {
            return Err(Failure::request(format!("{} bytes are not {width} × {height} pixels", rgba.len())));
        }
        let mut image = Image::new(width, height).map_err(Error::from)?;
        for (rgb, pixel) in image.data_mut().as_chunks_mut::<3>().0.iter_mut().zip(pixels) {
            *rgb = on_white(*pixel);
        }
        self.show(image)
    }

    fn show(&mut self, image: Image) -> Result<(), Failure> {
        #[derive(Serialize)]
        struct Size {
            width: usize,
            height: usize,
        }
        let size = Size { width: image.width(), height: image.height() };
        self.image = Some(image);
        self.reply(&size)
    }

    /// Does what the JSON of a buffer asks of the image, telling `host` on the way, and replies with the outcome.
    pub fn run<H: Host + Clone + 'static>(&mut self, request: u32, host: &H) -> Result<(), Failure> {
        let request: Run = request::parse(&self.take(request)?)?;
        let options = request.options(self.stop.clone())?;
        let loaded = self.loaded()?;
        let image =
            self.image.as_ref().ok_or_else(|| Failure::new("no-image", "input", "there is no image"))?;
        let progress = Teller(host.clone());
        match (loaded, request.task) {
            (Loaded::Images(model), Task::Embed) => {
                let made = model.embed_with(image, &options, &progress)?;
                self.reply(&EmbeddingReply::from(&made))
            }
            (Loaded::Images(model), Task::Classify) => {
                let made = model.classify_with(image, &options, &progress)?;
                self.reply(&ClassificationReply::new(&made, request.top))
            }
            (Loaded::Answers(model), Task::Read) => {
                let mut session = model.session();
                session.set_progress(Arc::new(progress));
                let reading = session.read(image, &options)?;
                self.reply(&ReadingReply::from(&reading))
            }
            (Loaded::Answers(model), Task::Ask | Task::Caption | Task::Detect) => {
                let mut session = model.session();
                session.set_progress(Arc::new(progress));
                let answer = match request.task {
                    // A model that reads while it looks finds things then, too; the words are of no interest.
                    Task::Detect if model.info().reads && !model.info().reads_by_answering => {
                        let prompt = Prompt::new().image(image).caption(Lang::En);
                        answer(session, prompt, &options.max_tokens(1), &Silence)?
                    }
                    Task::Detect => answer(session, Prompt::new().image(image).detect(), &options, host)?,
                    Task::Ask => {
                        let prompt = Prompt::new().image(image).text(request.question);
                        answer(session, prompt, &options, host)?
                    }
                    _ => {
                        let lang = options.lang.unwrap_or(Lang::En);
                        answer(session, Prompt::new().image(image).caption(lang), &options, host)?
                    }
                };
                self.reply(&AnswerReply::from(&answer))
            }
            (Loaded::Answers(_), Task::Embed | Task::Classify) => Err(Failure::new(
                "model-no-vector",
                "input",
                "this model answers in words: embed and classify take an image model, such as a ResNet",
            )),
            (Loaded::Images(_), _) => Err(Failure::new(
                "model-no-words",
                "input",
                "this model takes an image and no words: it can embed, and classify if it has classes",
            )),
        }
    }

    /// Replies with how well the cache of image features serves.
    pub fn cache(&mut self) -> Result<(), Failure> {
        // An image model keeps nothing of images.
        let stats = match self.loaded()? {
            Loaded::Answers(model) => model.feature_cache(),
            Loaded::Images(_) => CacheStats::default(),
        };
        self.reply(&CacheReply::from(stats))
    }

    /// What the last call said, as JSON; a [`Failure`] is to be [told](Self::fail) first.
    pub fn last_reply(&self) -> &[u8] {
        &self.reply
    }

    /// Makes a failure the reply.
    pub fn fail(&mut self, failure: &Failure) {
        // Strings are always representable.
        let _ = self.reply(failure);
    }

    fn reply(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        self.reply.clear();
        serde_json::to_writer(&mut self.reply, value)
            .map_err(|error| Failure::new("fault", "fault", error.to_string()))
    }

    fn loaded(&self) -> Result<&Loaded, Failure> {
        self.model.as_ref().ok_or_else(|| Failure::new("no-model", "input", "no model is loaded"))
    }

    fn take(&mut self, buffer: u32) -> Result<AlignedVec<u8>, Failure> {
        self.buffers.remove(&buffer).ok_or_else(no_buffer)
    }
}

impl Loaded {
    fn image_options(&self, limits: ImageLimits) -> ImageOptions {
        match self {
            Self::Answers(model) => model.image_options(limits),
            Self::Images(model) => model.image_options(limits),
        }
    }
}

/// Loads a model of whichever kind the files are of.
fn load(source: &Source, options: &LoadOptions) -> Result<Loaded, Failure> {
    let error = match Model::from_source(source, options) {
        Ok(model) => return Ok(Loaded::Answers(model)),
        Err(error) => error,
    };
    if !["model-unknown", "model-config"].contains(&error.code()) {
        return Err(error.into());
    }
    match ImageModel::from_source(source, options) {
        Ok(model) => Ok(Loaded::Images(model)),
        // What neither kind knows is told of with the models that answer.
        Err(other) if other.code() == "model-unknown" => Err(error.into()),
        Err(other) => Err(other.into()),
    }
}

fn answer(
    mut session: tiny_vlm::Session,
    prompt: Prompt<'_>,
    options: &RequestOptions,
    host: &impl Host,
) -> Result<tiny_vlm::Answer, Failure> {
    let mut stream = session.stream(prompt, options)?;
    for piece in &mut stream {
        host.piece(&piece?);
    }
    Ok(stream.answer()?)
}

/// A host as the runtime tells it.
struct Teller<H>(H);

impl<H: Host> Progress for Teller<H> {
    fn report(&self, stage: &str, done: usize, total: usize) {
        self.0.progress(stage, done, total);
    }
}

fn no_buffer() -> Failure {
    Failure::request("there is no such buffer")
}

/// A pixel over white, rounded.
fn on_white([r, g, b, a]: [u8; 4]) -> [u8; 3] {
    let a = u32::from(a);
    [r, g, b].map(|c| ((u32::from(c) * a + 255 * (255 - a) + 127) / 255) as u8)
}
