//! Places in the text of an answer: `car<loc_52><loc_332><loc_932><loc_774>` is a car and its box.
//!
//! What is found, and what it is called, is what `Florence2PostProcessor` of `transformers` finds by regular
//! expressions, odd texts included: a test holds this to it. Tokens of places count thousandths of the picture.

use crate::{Region, RegionShape};

/// What an answer looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Text without places.
    Text,
    /// Names, each with its boxes.
    Boxes,
    /// Boxes without names.
    BareBoxes,
    /// Phrases of the question, each with its boxes.
    Phrases,
    /// Lines of print, each with its corners.
    Quads,
    /// Outlines without names.
    Polygons,
    /// Names, each with its outlines if there are any in the text, with its boxes if not.
    BoxesOrPolygons,
}

const SEPARATOR: &str = "<sep>";
const BEGIN: &str = "<poly>";
const END: &str = "</poly>";

/// What ends a name that is followed by places.
const NAME_ENDS: [&str; 8] = ["<od>", "</od>", "<box>", "</box>", "<bbox>", "</bbox>", "<loc_", BEGIN];

/// The regions that an answer speaks of, in pixels of a picture of this width and height. `banned` are phrases that
/// name nothing.
pub(super) fn regions(form: Form, text: &str, size: [usize; 2], banned: &[String]) -> Vec<Region> {
    let cleaned = text.replace("<s>", "").replace("</s>", "").replace("<pad>", "");
    let text = &cleaned[..];
    match form {
        Form::Text => Vec::new(),
        Form::Boxes => boxes(phrases(text, is_place), size, &[]),
        Form::BareBoxes => boxes(runs(text, is_place), size, &[]),
        Form::Phrases => boxes(phrases(text, is_place), size, banned),
        Form::Quads => quads(text, size),
        Form::Polygons => polygons(runs(text, is_outline), size),
        Form::BoxesOrPolygons if text.contains(BEGIN) => polygons(phrases(text, is_outline), size),
        Form::BoxesOrPolygons => boxes(phrases(text, is_place), size, &[]),
    }
}

/// A token at the beginning of a text: its length, and the number of a place.
type Token = (usize, Option<u64>);

/// `<loc_N>`.
fn is_place(text: &str) -> Option<Token> {
    let rest = text.strip_prefix("<loc_")?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let closed = digits > 0 && rest[digits..].starts_with('>');
    // More digits than there are in a number are a number that is no place, either.
    closed.then(|| ("<loc_".len() + digits + 1, Some(rest[..digits].parse().unwrap_or(u64::MAX))))
}

/// `<loc_N>`, or what is between the places of an outline.
fn is_outline(text: &str) -> Option<Token> {
    let mark = || [SEPARATOR, BEGIN, END].into_iter().find(|mark| text.starts_with(mark));
    is_place(text).or_else(|| mark().map(|mark| (mark.len(), None)))
}

/// How many tokens a text begins with, and where they end.
fn count(text: &str, token: fn(&str) -> Option<Token>) -> (usize, usize) {
    let (mut tokens, mut end) = (0, 0);
    while let Some((length, _)) = token(&text[end..]) {
        tokens += 1;
        end += length;
    }
    (tokens, end)
}

/// The places that a text begins with.
fn places(mut text: &str) -> Vec<u64> {
    let mut found = Vec::new();
    while let Some((length, Some(place))) = is_place(text) {
        found.push(place);
        text = &text[length..];
    }
    found
}

/// Texts without `<`, each with the four tokens or more that follow it.
fn phrases(text: &str, token: fn(&str) -> Option<Token>) -> Vec<&str> {
    let (mut found, mut at) = (Vec::new(), 0);
    while at < text.len() {
        let end = text[at..].find('<').map_or(text.len(), |length| at + length);
        if end == at {
            at += 1;
            continue;
        }
        let (tokens, length) = count(&text[end..], token);
        if tokens >= 4 {
            found.push(&text[at..end + length]);
            at = end + length;
        } else {
            at = end;
        }
    }
    found
}

/// Four tokens or more, one behind the other.
fn runs(text: &str, token: fn(&str) -> Option<Token>) -> Vec<&str> {
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(start) = text[at..].find('<').map(|length| at + length) {
        let (tokens, length) = count(&text[start..], token);
        if tokens >= 4 {
            found.push(&text[start..start + length]);
        }
        at = start + length.max(1);
    }
    found
}

/// White space as Python counts it.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// The name that a phrase begins with: what comes before its first place, if that is one line.
fn name(phrase: &str) -> Option<&str> {
    let end = NAME_ENDS.iter().filter_map(|mark| phrase.find(mark)).min()?;
    let name = phrase[..end].trim_start_matches(is_space);
    (!name.contains('\n')).then(|| name.trim_end_matches(is_space))
}

fn boxes(phrases: Vec<&str>, size: [usize; 2], banned: &[String]) -> Vec<Region> {
    let mut found = Vec::new();
    for phrase in phrases {
        let Some(name) = name(phrase).filter(|name| !banned.iter().any(|banned| banned == name)) else {
            continue;
        };
        let label: String = name.chars().filter(char::is_ascii).collect();
        let start = phrase.find("<loc_").unwrap_or(phrase.len());
        for [left, top, right, bottom] in places(&phrase[start..]).as_chunks::<4>().0 {
            let [[left, top], [right, bottom]] = [point([*left, *top], size), point([*right, *bottom], size)];
            let shape = RegionShape::Box([left, top, right, bottom]);
            found.push(Region { label: label.clone(), shape, score: None });
        }
    }
    found
}

/// Texts of one line, each with its eight places.
fn quads(text: &str, size: [usize; 2]) -> Vec<Region> {
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(first) = text[at..].chars().next() {
        let line = text[at..].find('\n').map_or(text.len(), |length| at + length);
        if line == at {
            at += 1;
            continue;
        }
        // At least one character comes before the places.
        let from = at + first.len_utf8();
        let mut starts = text[from..line].match_indices('<').map(|(start, _)| from + start);
        let Some(start) = starts.find(|&start| count(&text[start..], is_place).0 >= 8) else {
            at = line;
            continue;
        };
        let corners = places(&text[start..]);
        let (pairs, _) = corners[..8].as_chunks::<2>();
        let quad = std::array::from_fn(|corner| point(pairs[corner], size));
        let label = text[at..start].trim_matches(is_space).to_owned();
        found.push(Region { label, shape: RegionShape::Quad(quad), score: None });
        at = start
            + (0..8).fold(0, |end, _| end + is_place(&text[start + end..]).map_or(0, |(length, _)| length));
    }
    found
}

fn polygons(phrases: Vec<&str>, size: [usize; 2]) -> Vec<Region> {
    let mut found = Vec::new();
    for phrase in phrases {
        // A first place may be the model's own mark of a beginning; it is no end of a name.
        let named = is_place(phrase).map_or(phrase, |(length, _)| &phrase[length..]);
        let Some(label) = name(named) else { continue };
        let instances = match phrase.contains(BEGIN) && phrase.contains(END) {
            true => between(phrase),
            false => vec![phrase],
        };
        for instance in instances {
            let outlines = outlines(instance, size);
            if !outlines.is_empty() {
                let shape = RegionShape::Polygons(outlines);
                found.push(Region { label: label.to_owned(), shape, score: None });
            }
        }
    }
    found
}

/// What stands between each beginning and the end behind it.
fn between(phrase: &str) -> Vec<&str> {
    let (mut found, mut rest) = (Vec::new(), phrase);
    while let Some((_, after)) = rest.split_once(BEGIN) {
        let Some((instance, behind)) = after.split_once(END) else { break };
        found.push(instance);
        rest = behind;
    }
    found
}

/// The outlines of an instance: places up to a separator or the end. A last place without its other half is dropped.
fn outlines(instance: &str, size: [usize; 2]) -> Vec<Vec<[f32; 2]>> {
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(start) = instance[at..].find("<loc_").map(|length| at + length) {
        let (tokens, length) = count(&instance[start..], is_place);
        let rest = &instance[start + length..];
        if tokens > 0 && (rest.is_empty() || rest.starts_with(SEPARATOR)) {
            let places = places(&instance[start..]);
            found.push(places.as_chunks::<2>().0.iter().map(|&pair| point(pair, size)).collect());
        }
        at = start + length.max(1);
    }
    found
}

/// The whole pixel at the middle of a place, in the reference's arithmetic.
fn point(place: [u64; 2], size: [usize; 2]) -> [f32; 2] {
    std::array::from_fn(|axis| ((place[axis] as f32 + 0.5) * (size[axis] as f64 / 1000.0) as f32).trunc())
}
