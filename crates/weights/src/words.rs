//! Names out of files, made fit to be shown.

/// A name without control characters, shortened to a line.
pub(crate) fn name(text: &str) -> String {
    const MAX: usize = 120;
    let mut out: String =
        text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(MAX).collect();
    if text.chars().nth(MAX).is_some() {
        out.push('…');
    }
    out
}

/// Names with commas between them.
pub(crate) fn list(names: &[String]) -> String {
    names.join(", ")
}
