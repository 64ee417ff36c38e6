//! Ending an answer before a given text.
//!
//! Text that may be the beginning of a stop string is held back until it is certain that it is not, so that
//! nothing is shown which would have to be taken back.

/// Passes text on until one of the stop strings comes.
#[derive(Clone, Debug, Default)]
pub(crate) struct StopStrings {
    stops: Vec<String>,
    held: String,
    stopped: bool,
}

impl StopStrings {
    /// Empty stop strings are ignored.
    pub(crate) fn new(stops: &[String]) -> Self {
        let stops = stops.iter().filter(|stop| !stop.is_empty()).cloned().collect();
        Self { stops, held: String::new(), stopped: false }
    }

    /// Whether a stop string has come.
    pub(crate) fn stopped(&self) -> bool {
        self.stopped
    }

    /// Takes more text and appends to `out` what may be shown of it.
    pub(crate) fn push(&mut self, text: &str, out: &mut String) {
        if self.stopped {
            return;
        }
        if self.stops.is_empty() {
            out.push_str(text);
            return;
        }
        self.held.push_str(text);
        if let Some(at) = self.stops.iter().filter_map(|stop| self.held.find(stop)).min() {
            out.push_str(&self.held[..at]);
            self.held.clear();
            self.stopped = true;
            return;
        }
        let sure = self.held.len() - self.longest_beginning();
        out.push_str(&self.held[..sure]);
        self.held.drain(..sure);
    }

    /// The end of the text: what was held back is no stop string.
    pub(crate) fn finish(&mut self, out: &mut String) {
        out.push_str(&self.held);
        self.held.clear();
    }

    /// Length of the longest end of the held text that begins a stop string.
    fn longest_beginning(&self) -> usize {
        let begins = |stop: &String| {
            let ends = stop.char_indices().map(|(at, _)| at).skip(1);
            ends.filter(|&at| self.held.ends_with(&stop[..at])).max().unwrap_or(0)
        };
        self.stops.iter().map(begins).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(stops: &[&str], pieces: &[&str]) -> (Vec<String>, bool) {
        let stops: Vec<String> = stops.iter().map(|&s| s.into()).collect();
        let mut filter = StopStrings::new(&stops);
        let mut shown = Vec::new();
        for piece in pieces {
            let mut out = String::new();
            filter.push(piece, &mut out);
            shown.push(out);
        }
        let mut out = String::new();
        filter.finish(&mut out);
        shown.push(out);
        (shown, filter.stopped())
    }

    #[test]
    fn without_stop_strings_all_passes_at_once() {
        assert_eq!(run(&[], &["a", "b"]), (vec!["a".into(), "b".into(), "".into()], false));
        assert_eq!(run(&[""], &["a"]), (vec!["a".into(), "".into()], false));
    }

    #[test]
    fn a_beginning_is_held_back_until_it_is_sure() {
        let (shown, stopped) = run(&["END"], &["xE", "N", "o", "EN", "D after"]);
        assert_eq!(shown, ["x", "", "ENo", "", "", ""]);
        assert!(stopped);
        let (shown, stopped) = run(&["END"], &["xEN"]);
        assert_eq!(shown, ["x", "EN"]);
        assert!(!stopped);
    }

    #[test]
    fn the_earliest_of_several_counts_and_overlaps_are_found() {
        assert_eq!(run(&["b", "ab"], &["xab"]).0.concat(), "x");
        assert_eq!(
            run(&["aab"], &["a", "a", "a", "b"]),
            (vec!["".into(), "".into(), "a".into(), "".into(), "".into()], true)
        );
    }

    #[test]
    fn characters_of_several_bytes() {
        let (shown, stopped) = run(&["。終"], &["猫。", "犬。", "終わり"]);
        assert_eq!(shown, ["猫", "。犬", "", ""]);
        assert!(stopped);
    }
}
