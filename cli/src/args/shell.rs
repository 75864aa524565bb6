//! `ops completions` and `ops man`

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

/// Prints the completion script for a shell.
#[derive(Args, Debug)]
#[command(after_help = "\
bash:  ops completions bash > ~/.local/share/bash-completion/completions/ops
zsh:   ops completions zsh > ~/.zfunc/_ops     (with `fpath+=~/.zfunc` before `compinit` in ~/.zshrc)
fish:  ops completions fish > ~/.config/fish/completions/ops.fish")]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

/// Prints the manual page of a command, or writes the pages of all of them.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ops man run enqueue | man -l -
  ops man --out ~/.local/share/man/man1 && man ops-run-enqueue")]
pub(crate) struct ManArgs {
    /// The command, such as `run enqueue` [default: `ops` itself]
    #[arg(value_name = "COMMAND", conflicts_with = "out")]
    pub(crate) command: Vec<String>,
    /// Write the pages of all commands into this folder instead; it is created if it does not exist
    #[arg(long, value_name = "FOLDER")]
    pub(crate) out: Option<PathBuf>,
}
