//! One model and what it is asked.

use crate::Failure;
use crate::answer::{AnswerReply, CacheReply, ModelReply, ReadingReply};
use crate::request::{self, Open, Run, Task};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;
use tiny_vlm::{
    Error, Image, ImageLimits, Lang, Model, Progress, Prompt, RequestOptions, Source, Stop, System,
};

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
    buffers: BTreeMap<u32, Vec<u8>>,
    next_buffer: u32,
    files: BTreeMap<String, Vec<u8>>,
    model: Option<Model>,
    image: Option<Image>,
    reply: Vec<u8>,
    stop: Stop,
}

impl Engine {
    /// An engine whose requests `stop` ends.
    pub fn with_stop(stop: Stop) -> Self {
        Self { stop, ..Self::default() }
    }

    /// A new buffer of `len` zeros, by number.
    pub fn buffer(&mut self, len: usize) -> Result<u32, Failure> {
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len).map_err(|_| Failure::memory(len))?;
        bytes.resize(len, 0);
        self.next_buffer = self.next_buffer.wrapping_add(1).max(1);
        self.buffers.insert(self.next_buffer, bytes);
        Ok(self.next_buffer)
    }

    /// A buffer, to be written.
    pub fn bytes(&mut self, buffer: u32) -> Result<&mut [u8], Failure> {
        self.buffers.get_mut(&buffer).map(Vec::as_mut_slice).ok_or_else(no_buffer)
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
        let name =
            String::from_utf8(self.take(name)?).map_err(|_| Failure::request("a name is not UTF-8"))?;
        let bytes = self.take(bytes)?;
        self.files.insert(name, bytes);
        Ok(())
    }

    /// Loads the model that the files make, as the JSON of a buffer says, and replies with what is known of it. The files
    /// are gone then, whether it could be loaded or not.
    pub fn open(&mut self, options: u32) -> Result<(), Failure> {
        let options: Open = request::parse(&self.take(options)?)?;
        let source = Source::files(std::mem::take(&mut self.files));
        let model = Model::from_source(&source, &options.options()?)?;
        let (isa, threads, load) = (System::detect().isa, model.threads(), model.load_time());
        let reply = self.reply(&ModelReply::new(model.info(), isa, threads, load));
        self.model = Some(model);
        reply
    }

    /// Decodes the picture file in a buffer, to be asked about.
    pub fn image(&mut self, file: u32) -> Result<(), Failure> {
        let bytes = self.take(file)?;
        let limits = ImageLimits::default().with_max_bytes(MAX_IMAGE_BYTES);
        // The picture before is of no more use, and two may be more than there is memory for.
        self.image = None;
        let options = self.model()?.image_options(limits);
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
        let mut request: Run = request::parse(&self.take(request)?)?;
        let (task, question) = (request.task, std::mem::take(&mut request.question));
        let mut options = request.options(self.stop.clone())?;
        if task == Task::Detect {
            // Things are found while the image is looked at; the words are of no interest.
            options.max_tokens = Some(1);
        }
        let model = self.model()?.clone();
        let image =
            self.image.as_ref().ok_or_else(|| Failure::new("no-image", "input", "there is no image"))?;
        let mut session = model.session();
        session.set_progress(Arc::new(Teller(host.clone())));
        if task == Task::Read {
            let reading = session.read(image, &options)?;
            return self.reply(&ReadingReply::from(&reading));
        }
        let prompt = match task {
            Task::Ask => Prompt::new().image(image).text(question),
            Task::Caption | Task::Detect | Task::Read => {
                Prompt::new().image(image).caption(options.lang.unwrap_or(Lang::En))
            }
        };
        let answer = answer(session, prompt, &options, host)?;
        self.reply(&AnswerReply::from(&answer))
    }

    /// Replies with how well the cache of image features serves.
    pub fn cache(&mut self) -> Result<(), Failure> {
        let stats = self.model()?.feature_cache();
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

    fn model(&self) -> Result<&Model, Failure> {
        self.model.as_ref().ok_or_else(|| Failure::new("no-model", "input", "no model is loaded"))
    }

    fn take(&mut self, buffer: u32) -> Result<Vec<u8>, Failure> {
        self.buffers.remove(&buffer).ok_or_else(no_buffer)
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
