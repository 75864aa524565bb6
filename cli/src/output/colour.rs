//! Decides whether the output has colour: on a terminal, unless the user does not want it.

use std::{
    env,
    io::{self, IsTerminal},
    sync::OnceLock,
};

use clap::{ColorChoice, ValueEnum};

/// When to use colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    #[default]
    Auto,
    Always,
    Never,
}

static CHOSEN: OnceLock<When> = OnceLock::new();

/// Sets the choice for the whole program, once.
pub(crate) fn choose(when: When) {
    CHOSEN.get_or_init(|| when);
}

/// Whether standard output takes colour.
pub(crate) fn on_stdout() -> bool {
    wanted(io::stdout().is_terminal())
}

/// Whether standard error takes colour.
pub(crate) fn on_stderr() -> bool {
    wanted(io::stderr().is_terminal())
}

fn wanted(is_terminal: bool) -> bool {
    let no_color = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    decide(CHOSEN.get().copied().unwrap_or_default(), is_terminal, no_color)
}

/// See <https://no-color.org>. The variable is for all programs, so a flag for this program wins over it.
fn decide(when: When, is_terminal: bool, no_color: bool) -> bool {
    match when {
        When::Always => true,
        When::Never => false,
        When::Auto => is_terminal && !no_color,
    }
}

impl From<When> for ColorChoice {
    fn from(when: When) -> Self {
        match when {
            When::Auto => Self::Auto,
            When::Always => Self::Always,
            When::Never => Self::Never,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_decides_and_else_the_terminal_and_no_color() {
        for (when, is_terminal, no_color, coloured) in [
            (When::Auto, true, false, true),
            (When::Auto, true, true, false),
            (When::Auto, false, false, false),
            (When::Always, false, true, true),
            (When::Never, true, false, false),
        ] {
            assert_eq!(decide(when, is_terminal, no_color), coloured, "{when:?} {is_terminal} {no_color}");
        }
    }
}
