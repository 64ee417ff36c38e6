//! Ctrl-C: the answer in progress is cancelled; where nothing can be cancelled, the program ends.

use std::sync::atomic::{AtomicBool, Ordering};

use tiny_vlm::Stop;

static ANSWERING: AtomicBool = AtomicBool::new(false);

/// The exit code of a program that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// Lets Ctrl-C cancel `stop`. A second one, and one while nothing is being answered, ends the program at once.
pub(crate) fn cancel_on_interrupt(stop: &Stop) {
    let stop = stop.clone();
    let installed = ctrlc::set_handler(move || {
        if !ANSWERING.load(Ordering::Relaxed) || stop.is_cancelled() {
            std::process::exit(INTERRUPTED);
        }
        stop.cancel();
    });
    // Without the handler Ctrl-C ends the program, which is what was wanted.
    drop(installed);
}

/// Says whether an answer is in progress, one that notices when it is cancelled.
pub(crate) fn answering(yes: bool) {
    ANSWERING.store(yes, Ordering::Relaxed);
}
