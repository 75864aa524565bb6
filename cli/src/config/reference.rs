//! Checks that the tables in `docs/configuration.md` match the command line, or writes them.

use std::{env, fmt::Write as _, fs};

use clap::Command;

use super::{Kind, command, settings, settings::Setting};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
const BEGIN: &str = "<!-- From the command line, by `make docs`. -->\n";
const END: &str = "<!-- End of what `make docs` writes. -->\n";

/// A table for each section.
fn tables(root: &Command) -> String {
    let mut text = String::new();
    let mut section = None;
    for setting in settings(root) {
        if section.as_ref() != Some(&setting.section) {
            let _ = writeln!(text, "\n### {}\n", title(&setting.section));
            text.push_str("| Key and flag | Environment | Default | Meaning |\n|---|---|---|---|\n");
            section = Some(setting.section.clone());
        }
        let _ = writeln!(text, "{}", row(&setting));
    }
    text + "\n"
}

fn title(section: &str) -> String {
    match section {
        "" => "Before the first section".to_owned(),
        "client" => "[client]: `ops session`, `ops run`, `ops worker list` and the like".to_owned(),
        command => format!("[{command}]: `ops {command}`"),
    }
}

fn row(setting: &Setting) -> String {
    let env = setting.env().map(|name| format!("`{name}`")).unwrap_or_default();
    let defaults: Vec<_> = setting.arg.get_default_values().iter().map(|it| it.to_string_lossy()).collect();
    let default = if setting.arg.is_required_set() {
        "required".to_owned()
    } else if defaults.concat().is_empty() {
        String::new()
    } else {
        format!("`{}`", defaults.join(","))
    };
    let help = setting.arg.get_help().map(ToString::to_string).unwrap_or_default().replace('|', "\\|");
    let valid: Vec<_> = match setting.kind() {
        Kind::Switch => Vec::new(),
        _ => setting.arg.get_possible_values().iter().map(|it| format!("`{}`", it.get_name())).collect(),
    };
    let mut meaning = help;
    if !valid.is_empty() {
        let _ = write!(meaning, "; {}", valid.join(", "));
    }
    if setting.is_list() {
        meaning.push_str("; a list");
    }
    if setting.is_secret() {
        meaning.push_str("; a secret");
    }
    format!("| `{}` | {env} | {default} | {meaning} |", setting.key)
}

#[test]
fn the_page_on_configuration_says_what_the_command_line_says() {
    let page = fs::read_to_string(PAGE).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let right = format!("{before}{BEGIN}{}{END}{after}", tables(&command()));
    if env::var_os("OPS_WRITE_DOCS").is_some() {
        fs::write(PAGE, right).unwrap();
    } else {
        assert!(
            page == right,
            "docs/configuration.md is not what the command line says: run `make docs` and commit it"
        );
    }
}

#[test]
fn every_setting_has_a_meaning_and_a_key_of_its_own() {
    let settings = settings(&command());
    for setting in &settings {
        assert!(setting.arg.get_help().is_some(), "{}", setting.name());
        assert_eq!(settings.iter().filter(|it| it.name() == setting.name()).count(), 1, "{}", setting.name());
    }
    let names: Vec<_> = settings.iter().map(Setting::name).collect();
    for name in ["color", "serve.listen", "serve.database-url-file", "worker.label", "client.server", "client.output"] {
        assert!(names.iter().any(|it| it == name), "{name}");
    }
    for name in ["config", "dev.demo", "dev.once", "client.limit", "worker.state", "serve.help"] {
        assert!(!names.iter().any(|it| it == name), "{name}");
    }
}
