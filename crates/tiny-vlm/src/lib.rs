//! Small vision-language models that run anywhere.
#![forbid(unsafe_code)]
