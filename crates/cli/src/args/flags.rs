//! The commands and their options: what there is, and where it may stand.

/// The commands, by the names that they have on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    Ask,
    Caption,
    Ocr,
    Detect,
    Classify,
    Embed,
    Info,
    Inspect,
    Quantize,
    Bench,
    Eval,
    SelfTest,
    Pull,
    Completions,
}

impl Name {
    pub(crate) const ALL: [Self; 14] = [
        Self::Ask,
        Self::Caption,
        Self::Ocr,
        Self::Detect,
        Self::Classify,
        Self::Embed,
        Self::Info,
        Self::Inspect,
        Self::Quantize,
        Self::Bench,
        Self::Eval,
        Self::SelfTest,
        Self::Pull,
        Self::Completions,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ask => "ask",
            Self::Caption => "caption",
            Self::Ocr => "ocr",
            Self::Detect => "detect",
            Self::Classify => "classify",
            Self::Embed => "embed",
            Self::Info => "info",
            Self::Inspect => "inspect",
            Self::Quantize => "quantize",
            Self::Bench => "bench",
            Self::Eval => "eval",
            Self::SelfTest => "self-test",
            Self::Pull => "pull",
            Self::Completions => "completions",
        }
    }

    /// Its operands, as the usage line writes them.
    pub(crate) fn operands(self) -> &'static str {
        match self {
            Self::Ask => "IMAGE... QUESTION",
            Self::Caption | Self::Ocr | Self::Detect => "IMAGE...",
            Self::Classify | Self::Embed => "--model DIR IMAGE...",
            Self::Info => "",
            Self::Eval => "SET",
            Self::Inspect | Self::Bench | Self::SelfTest => "[MODEL]",
            Self::Quantize => "[MODEL] -o DIR",
            Self::Pull => "OWNER/NAME",
            Self::Completions => "SHELL",
        }
    }

    pub(super) fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|command| command.as_str() == name)
    }
}

/// An option: its flag, what its value is called, its key in the tables of words, and where it may stand.
pub(crate) struct Flag {
    pub(crate) long: &'static str,
    pub(crate) value: Option<&'static str>,
    pub(crate) words: &'static str,
    pub(crate) commands: &'static [Name],
}

const LOADING: &[Name] = &[
    Name::Ask,
    Name::Caption,
    Name::Ocr,
    Name::Detect,
    Name::Classify,
    Name::Embed,
    Name::Info,
    Name::Bench,
    Name::Eval,
    Name::SelfTest,
];
/// Those that take the model as an operand, too.
pub(super) const OF_A_MODEL: &[Name] = &[Name::Inspect, Name::Quantize, Name::Bench, Name::SelfTest];
const ONE_PRECISION: &[Name] = &[
    Name::Ask,
    Name::Caption,
    Name::Ocr,
    Name::Detect,
    Name::Classify,
    Name::Embed,
    Name::Info,
    Name::Bench,
    Name::SelfTest,
];
const LOOKING: &[Name] = &[Name::Ask, Name::Caption, Name::Ocr, Name::Detect, Name::Classify, Name::Embed];
const ANSWERING: &[Name] = &[Name::Ask, Name::Caption];
/// Those that say how closely images are looked at.
const DETAILED: &[Name] = &[Name::Ask, Name::Caption, Name::Bench];
/// Those that a decoder may write the output of.
const WRITING: &[Name] = &[Name::Ask, Name::Caption, Name::Ocr, Name::Detect];
const REPORTING: &[Name] = &[
    Name::Ask,
    Name::Caption,
    Name::Ocr,
    Name::Detect,
    Name::Classify,
    Name::Embed,
    Name::Info,
    Name::Inspect,
    Name::Quantize,
    Name::Bench,
    Name::Eval,
    Name::SelfTest,
    Name::Pull,
];
const QUANTIZING: &[Name] = &[Name::Quantize];

const fn flag(
    long: &'static str,
    value: Option<&'static str>,
    words: &'static str,
    commands: &'static [Name],
) -> Flag {
    Flag { long, value, words, commands }
}

/// Every option in the order of the help, those of the limits last.
pub(crate) const FLAGS: &[Flag] = &[
    flag("model", Some("DIR"), "option-model", LOADING),
    flag("model", Some("DIR"), "option-model", &[Name::Inspect, Name::Quantize]),
    flag("output", Some("DIR"), "option-output", QUANTIZING),
    flag("weights", Some("P"), "option-weights", QUANTIZING),
    flag("bytes", Some("N"), "option-bytes", QUANTIZING),
    flag("error", Some("E"), "option-error", QUANTIZING),
    flag("sample", Some("IMAGE"), "option-sample", QUANTIZING),
    flag("sparse", None, "option-sparse", QUANTIZING),
    flag("precision", Some("P"), "option-precision", ONE_PRECISION),
    flag("precision", Some("P,P"), "option-precisions", &[Name::Eval]),
    flag("threads", Some("N"), "option-threads", LOADING),
    flag("lang", Some("LANG"), "option-lang", &Name::ALL),
    flag("lines", None, "option-lines", &[Name::Ocr]),
    flag("top", Some("N"), "option-top", &[Name::Classify]),
    flag("detail", Some("D"), "option-detail", DETAILED),
    flag("max-tiles", Some("N"), "option-max-tiles", DETAILED),
    flag("max-tokens", Some("N"), "option-max-tokens", WRITING),
    flag("beams", Some("N"), "option-beams", WRITING),
    flag("temperature", Some("T"), "option-temperature", ANSWERING),
    flag("seed", Some("N"), "option-seed", ANSWERING),
    flag("top-k", Some("N"), "option-sampling", ANSWERING),
    flag("top-p", Some("P"), "option-sampling", ANSWERING),
    flag("min-p", Some("P"), "option-sampling", ANSWERING),
    flag("stop", Some("TEXT"), "option-stop", ANSWERING),
    flag("json-schema", Some("FILE"), "option-json-schema", ANSWERING),
    flag("regex", Some("REGEX"), "option-regex", ANSWERING),
    flag("grammar", Some("FILE"), "option-grammar", ANSWERING),
    flag("deadline", Some("TIME"), "option-deadline", LOOKING),
    flag("json", None, "option-json", REPORTING),
    flag("stats", None, "option-stats", LOOKING),
    flag("image", Some("IMAGE"), "option-bench-image", &[Name::Bench]),
    flag("question", Some("TEXT"), "option-bench-question", &[Name::Bench]),
    flag("runs", Some("N"), "option-runs", &[Name::Bench]),
    flag("limit", Some("N"), "option-limit", &[Name::Eval]),
    flag("answers", Some("FILE"), "option-answers", &[Name::Eval]),
    flag("scores", None, "option-scores", &[Name::SelfTest]),
    flag("revision", Some("R"), "option-revision", &[Name::Pull]),
    flag("help", None, "option-help", &Name::ALL),
    flag("max-image-bytes", Some("N"), "limit-image-bytes", LOOKING),
    flag("max-pixels", Some("N"), "limit-pixels", LOOKING),
    flag("max-ratio", Some("N"), "limit-ratio", LOOKING),
    flag("max-question-bytes", Some("N"), "limit-question-bytes", &[Name::Ask]),
];

/// A precision, where there is one.
pub(super) const ONE: Flag = flag("precision", Some("P"), "option-precision", ONE_PRECISION);
/// What `-o` is short for.
pub(super) const OUTPUT: Flag = flag("output", Some("DIR"), "option-output", QUANTIZING);
/// The precisions that weights are quantized to.
pub(super) const WEIGHTS: &str = "int8, int4, int4-g64, int2, int2-g64, bf16, f16, f32";
