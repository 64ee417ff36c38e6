//! Greedy decoding of connectionist temporal classification (Graves et al., 2006): the best class at each place,
//! repetitions taken once, blanks left out.

use tiny_vlm_tensor::View;

/// What a line says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Transcript {
    /// Its characters, words parted by single spaces.
    pub text: String,
    /// Mean probability of its characters; zero where there are none.
    pub confidence: f64,
}

/// Reads logits `[places, characters + 1]`, the first class of which is the blank.
pub fn transcribe(logits: View<'_, f32, 2>, characters: &[char]) -> Transcript {
    let [places, _] = logits.shape();
    let (mut text, mut sure, mut count) = (String::new(), 0.0, 0);
    let mut last = 0;
    for place in 0..places {
        let row = logits.row(place);
        let (class, probability) = best(row);
        if class > 0 && class != last {
            text.extend(characters.get(class - 1));
            sure += f64::from(probability);
            count += 1;
        }
        last = class;
    }
    let confidence = if count > 0 { sure / f64::from(count) } else { 0.0 };
    let mut words = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !words.is_empty() {
            words.push(' ');
        }
        words.push_str(word);
    }
    Transcript { text: words, confidence }
}

/// The first of the largest logits and its softmax; the blank where nothing is a number.
fn best(row: &[f32]) -> (usize, f32) {
    let (mut class, mut largest) = (0, f32::NEG_INFINITY);
    for (i, &logit) in row.iter().enumerate() {
        if logit > largest {
            (class, largest) = (i, logit);
        }
    }
    let total: f64 = row.iter().map(|&logit| f64::from((logit - largest).exp())).sum();
    (class, 1.0 / total as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tiny_vlm_tensor::Tensor;

    fn read(classes: &[usize]) -> Transcript {
        let logits = Tensor::from_fn([classes.len(), 4], |[i, c]| if classes[i] == c { 20.0 } else { 0.0 });
        transcribe(logits.view(), &[' ', 'a', 'b'])
    }

    #[test]
    fn repetitions_are_one_and_blanks_part_them() {
        assert_eq!(read(&[2, 2, 0, 2, 3, 3]).text, "aab");
        assert_eq!(read(&[1, 0, 1, 2, 1, 0, 1, 3, 1]).text, "a b");
        assert_eq!(read(&[]), Transcript::default());
        assert_eq!(read(&[0, 0]), Transcript::default());
        assert!(read(&[2]).confidence > 0.999);
    }

    #[test]
    fn logits_that_are_no_numbers_read_as_nothing_sure() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let logits = Tensor::from_fn([3, 4], |_| bad);
            let read = transcribe(logits.view(), &[' ', 'a', 'b']);
            assert_eq!(read, Transcript::default(), "{bad}");
        }
    }
}
