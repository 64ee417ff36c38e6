//! What `--stats` says on standard error.

use std::{fmt::Write as _, fs, io::Write as _, time::Duration};

use tiny_vlm::{Answer, Timings};

use crate::words::Words;

/// The most memory that the process has held so far, in bytes, where the system tells.
pub(crate) fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// Writes the times of an answer, its speed and the peak memory.
pub(crate) fn report(answer: &Answer, decode_image: Duration, words: Words) {
    let mut out = times(&answer.timings, decode_image, words);
    let tokens = answer.usage.completion_tokens;
    let all = format!("{} + {} → {tokens}", answer.usage.image_tokens, answer.usage.prompt_tokens);
    row(&mut out, words.get("stat-tokens"), &all);
    if let Some(speed) = answer.timings.tokens_per_second(tokens) {
        row(&mut out, words.get("stat-speed"), &format!("{speed:.0}"));
    }
    finish(out, words);
}

/// Writes the times of a reading, and the peak memory.
pub(crate) fn report_reading(load: Duration, decode_image: Duration, read: Duration, words: Words) {
    let mut out = String::new();
    row(&mut out, words.get("stat-load"), &milliseconds(load));
    row(&mut out, words.get("stat-decode-image"), &milliseconds(decode_image));
    row(&mut out, words.get("stat-total"), &milliseconds(read));
    finish(out, words);
}

fn times(timings: &Timings, decode_image: Duration, words: Words) -> String {
    let mut out = String::new();
    for (key, time) in [
        ("stat-load", timings.load),
        ("stat-decode-image", decode_image),
        ("stat-encode", timings.encode),
        ("stat-first-token", timings.first_token),
        ("stat-total", timings.total),
    ] {
        row(&mut out, words.get(key), &milliseconds(time));
    }
    out
}

fn finish(mut out: String, words: Words) {
    if let Some(bytes) = peak_memory() {
        row(&mut out, words.get("stat-memory"), &format!("{:.1} MB", bytes as f64 / 1e6));
    }
    // Figures that cannot be shown are no reason to fail.
    let _ = std::io::stderr().write_all(out.as_bytes());
}

fn row(out: &mut String, label: &str, value: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(out, "{label}: {value}");
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}
