//! The module's exports and imports.
//!
//! A call returns a number that is not negative, or −1 where it failed; [`reply_address`] and [`reply_length`] then say
//! where the JSON of the reply, or of the failure, lies. The host reads and writes this memory between calls only.
#![allow(
    unsafe_code,
    reason = "exported names and imported functions are unsafe attributes, and a thread is handed its job"
)]

use crate::{Engine, Failure, Host};
use std::cell::RefCell;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
#[cfg(feature = "threads")]
use tiny_vlm_tensor::Job;
use tiny_vlm_tensor::{Stop, SystemClock};

// Functions that the host lends.
#[link(wasm_import_module = "host")]
// SAFETY: the signatures are those of `engine.js`, which takes numbers and reads the named bytes before it returns.
unsafe extern "C" {
    /// Milliseconds that never run backwards.
    safe fn now() -> f64;
    /// The next piece of an answer.
    safe fn piece(address: usize, length: usize);
    /// How far a stage has come.
    safe fn progress(address: usize, length: usize, done: u32, total: u32);
    /// Why the module is about to trap.
    safe fn panicked(address: usize, length: usize);
    /// Has another thread call [`work`] with this; 0 where there is none.
    #[cfg(feature = "threads")]
    safe fn spawn(entry: usize) -> u32;
}

/// Raised by the host while a request runs, to end it.
static CANCELLED: AtomicBool = AtomicBool::new(false);

thread_local! {
    static ENGINE: RefCell<Engine> = RefCell::new(Engine::with_stop(Stop::watching(&CANCELLED)));
}

#[derive(Clone, Copy)]
struct JavaScript;

impl Host for JavaScript {
    fn piece(&self, text: &str) {
        piece(address(text.as_bytes()), text.len());
    }

    fn progress(&self, stage: &str, done: usize, total: usize) {
        progress(address(stage.as_bytes()), stage.len(), done as u32, total as u32);
    }
}

/// Lets the module tell the time and say why it trapped. To be called once, before anything else.
// SAFETY: no other export has this name; so below.
#[unsafe(no_mangle)]
extern "C" fn start() {
    SystemClock::lend(|| Duration::try_from_secs_f64(now() / 1e3).unwrap_or_default());
    #[cfg(feature = "threads")]
    tiny_vlm_tensor::lend_threads(lend);
    std::panic::set_hook(Box::new(|info| {
        let message = info.to_string();
        panicked(address(message.as_bytes()), message.len());
    }));
}

/// Has a thread of the host's run a job.
#[cfg(feature = "threads")]
fn lend(job: Job) -> bool {
    let entry = Box::into_raw(Box::new(job));
    let taken = spawn(entry.expose_provenance()) != 0;
    if !taken {
        // SAFETY: the pointer comes from the box above, and the host, which says that no thread took it, has let it go.
        drop(unsafe { Box::from_raw(entry) });
    }
    taken
}

/// Runs what `spawn` was called with, on the thread that took it.
#[cfg(feature = "threads")]
#[unsafe(no_mangle)]
extern "C" fn work(entry: usize) {
    let entry = std::ptr::with_exposed_provenance_mut::<Job>(entry);
    // SAFETY: `lend` made the pointer from a box and leaves it to the thread that takes it; the host calls this once.
    let job = unsafe { Box::from_raw(entry) };
    job();
}

/// A buffer of `length` bytes, by number.
#[unsafe(no_mangle)]
extern "C" fn buffer(length: usize) -> i32 {
    number(|engine| engine.buffer(length))
}

/// Where a buffer lies. Memory that grows does not move it, but JavaScript's views of it become empty.
#[unsafe(no_mangle)]
extern "C" fn buffer_address(buffer: u32) -> usize {
    ENGINE.with_borrow_mut(|engine| engine.bytes(buffer).map_or(0, |bytes| address(bytes)))
}

/// Gives a buffer's memory back.
#[unsafe(no_mangle)]
extern "C" fn release(buffer: u32) {
    ENGINE.with_borrow_mut(|engine| engine.release(buffer));
}

/// [`Engine::checksum`].
#[unsafe(no_mangle)]
extern "C" fn checksum(buffer: u32) -> i32 {
    call(|engine| engine.checksum(buffer))
}

/// [`Engine::file`].
#[unsafe(no_mangle)]
extern "C" fn file(name: u32, bytes: u32) -> i32 {
    call(|engine| engine.file(name, bytes))
}

/// [`Engine::open`].
#[unsafe(no_mangle)]
extern "C" fn open(options: u32) -> i32 {
    call(|engine| engine.open(options))
}

/// [`Engine::image`].
#[unsafe(no_mangle)]
extern "C" fn image(file: u32) -> i32 {
    call(|engine| engine.image(file))
}

/// [`Engine::pixels`].
#[unsafe(no_mangle)]
extern "C" fn pixels(rgba: u32, width: usize, height: usize) -> i32 {
    call(|engine| engine.pixels(rgba, width, height))
}

/// [`Engine::run`].
#[unsafe(no_mangle)]
extern "C" fn run(request: u32) -> i32 {
    call(|engine| engine.run(request, &JavaScript))
}

/// [`Engine::cache`].
#[unsafe(no_mangle)]
extern "C" fn cache() -> i32 {
    call(Engine::cache)
}

/// Where the byte is that ends a request when it becomes 1.
#[unsafe(no_mangle)]
extern "C" fn cancel_address() -> usize {
    CANCELLED.as_ptr().expose_provenance()
}

/// Where the last reply lies.
#[unsafe(no_mangle)]
extern "C" fn reply_address() -> usize {
    ENGINE.with_borrow(|engine| address(engine.last_reply()))
}

/// Bytes of the last reply.
#[unsafe(no_mangle)]
extern "C" fn reply_length() -> usize {
    ENGINE.with_borrow(|engine| engine.last_reply().len())
}

fn call(work: impl FnOnce(&mut Engine) -> Result<(), Failure>) -> i32 {
    number(|engine| work(engine).map(|()| 0))
}

fn number(work: impl FnOnce(&mut Engine) -> Result<u32, Failure>) -> i32 {
    ENGINE.with_borrow_mut(|engine| match work(engine) {
        Ok(number) => number as i32,
        Err(failure) => {
            engine.fail(&failure);
            -1
        }
    })
}

/// An address that the host may use.
fn address(bytes: &[u8]) -> usize {
    bytes.as_ptr().expose_provenance()
}
