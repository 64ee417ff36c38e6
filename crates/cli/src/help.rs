//! The text of `--help`, put together from the tables of commands, options and words.

use std::fmt::Write as _;

use crate::{
    args::{FLAGS, Flag, Name},
    words::Words,
};

/// Help on everything, or on one command. Flags and operands are the same in every language.
pub(crate) fn text(command: Option<Name>, words: Words) -> String {
    let mut out = String::new();
    let (about, usage) = match command {
        Some(name) => (words.get(name.as_str()), format!("tiny-vlm {} {}", name.as_str(), name.operands())),
        None => (words.get("about"), "tiny-vlm COMMAND ...".to_owned()),
    };
    let heading = |key| words.get(key);
    push(
        &mut out,
        format_args!("{about}\n\n{}:\n  {} [--...]\n", heading("heading-usage"), usage.trim_end()),
    );
    if command.is_none() {
        push(&mut out, format_args!("\n{}:\n", heading("heading-commands")));
        for name in Name::ALL {
            let left = format!("{} {}", name.as_str(), name.operands());
            push(&mut out, format_args!("  {left:28}{}\n", words.get(name.as_str())));
        }
    }
    for (title, limits) in [("heading-options", false), ("heading-limits", true)] {
        let here = |flag: &&Flag| {
            let suits = command.is_none_or(|name| flag.commands.contains(&name));
            suits && flag.words.starts_with("limit-") == limits
        };
        if FLAGS.iter().any(|flag| here(&flag)) {
            push(&mut out, format_args!("\n{}:\n", heading(title)));
        }
        for flag in FLAGS.iter().filter(here) {
            let left = format!("--{} {}", flag.long, flag.value.unwrap_or_default());
            push(&mut out, format_args!("  {left:28}{}\n", words.get(flag.words)));
        }
        if command.is_none() && !limits {
            push(&mut out, format_args!("  {:28}{}\n", "--version", words.get("option-version")));
        }
    }
    push(&mut out, format_args!("\n{}:\n", heading("heading-exit")));
    for (code, key) in [("0", "exit-0"), ("1", "exit-1"), ("2", "exit-2"), ("130", "exit-130")] {
        push(&mut out, format_args!("  {code:28}{}\n", words.get(key)));
    }
    out
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use tiny_vlm::Lang;

    use super::*;

    #[test]
    fn every_command_has_help_in_every_language() {
        for lang in Lang::ALL {
            let words = Words::new(lang);
            let all = text(None, words);
            for name in Name::ALL {
                assert!(all.contains(name.as_str()));
                assert!(text(Some(name), words).contains(words.get(name.as_str())));
            }
            assert!(all.contains("--max-pixels") && all.contains("130"));
            assert!(!text(Some(Name::Info), words).contains("--max-pixels"));
        }
    }

    #[test]
    fn every_flag_has_words() {
        for flag in FLAGS {
            assert!(Words::new(Lang::En).find(flag.words).is_some(), "{}", flag.words);
        }
    }
}
