//! Which language the messages come in.

use std::{env, ffi::OsStr, ffi::OsString};

use tiny_vlm::Lang;

/// The language of `--lang` where the arguments have it, else that of the locale.
///
/// It is found before the arguments are parsed, so that a complaint about them is already in it.
pub(crate) fn choose(arguments: &[OsString]) -> Lang {
    from_arguments(arguments).unwrap_or_else(|| from_locale(|name| env::var_os(name)))
}

fn from_arguments(arguments: &[OsString]) -> Option<Lang> {
    let mut arguments = arguments.iter().map(|argument| argument.to_str().unwrap_or_default());
    while let Some(argument) = arguments.next() {
        match argument.strip_prefix("--lang") {
            Some("") => return Lang::from_tag(arguments.next()?),
            Some(rest) if rest.starts_with('=') => return Lang::from_tag(&rest[1..]),
            _ if argument == "--" => return None,
            _ => {}
        }
    }
    None
}

/// POSIX's order: the first of `LC_ALL`, `LC_MESSAGES` and `LANG` that is set and not empty decides.
fn from_locale(variable: impl Fn(&str) -> Option<OsString>) -> Lang {
    let locale = ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().filter_map(variable).find(|v| !v.is_empty());
    locale.as_deref().and_then(OsStr::to_str).and_then(Lang::from_tag).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_wins() {
        let find = |line: &str| from_arguments(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert_eq!(find("ask a.png what --lang fr"), Some(Lang::Fr));
        assert_eq!(find("ask --lang=ja a.png what"), Some(Lang::Ja));
        assert_eq!(find("ask --lang tlh"), None);
        assert_eq!(find("ask --lang"), None);
        assert_eq!(find("ask -- --lang fr"), None);
    }

    #[test]
    fn the_first_variable_that_is_set_decides() {
        let with = |pairs: &[(&str, &str)]| {
            from_locale(|name| pairs.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).into()))
        };
        assert_eq!(with(&[]), Lang::En);
        assert_eq!(with(&[("LANG", "de_DE.UTF-8")]), Lang::De);
        assert_eq!(with(&[("LANG", "de_DE.UTF-8"), ("LC_ALL", "C")]), Lang::En);
        assert_eq!(with(&[("LANG", "de"), ("LC_MESSAGES", "zh_CN"), ("LC_ALL", "")]), Lang::Zh);
    }
}
