//! The runs of the demonstration: shell scripts that work on real files, for any POSIX shell.

use std::{collections::BTreeMap, path::Path};

use proto::v1::{Lane, RunSpec, RunStatus, run_spec::Params};
use serde_json::json;

use crate::args::target::ServerAddress;

/// The label with the name of a run.
pub(super) const NAME_LABEL: &str = "name";
/// The timeout of every run. Only the endless one would need longer.
const TIMEOUT_SECONDS: i64 = 30;

/// One run of the demonstration.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) name: &'static str,
    pub(super) lane: Lane,
    pub(super) priority: i32,
    pub(super) expected: RunStatus,
    script: &'static str,
}

/// Each script runs in the folder that it reads, and writes into `$out`. `found` prints a result and keeps it for the
/// report; `texts` lists the text files.
const PROLOGUE: &str = r#"
set -eu
out=$2
cd "$1"
found() { echo "$1"; echo "$1" > "$out/$0.found"; }
texts() {
  find . \( -name '.?*' -o -name target -o -name node_modules \) -prune -o -type f \
    \( -name '*.rs' -o -name '*.proto' -o -name '*.sql' -o -name '*.md' -o -name '*.toml' -o -name '*.txt' \) -print
}
"#;

pub(super) const PIECES: [Piece; 12] = [
    Piece {
        name: "count-lines",
        lane: Lane::A,
        priority: 90,
        expected: RunStatus::Succeeded,
        script: r#"
texts > "$out/files"
echo "$(wc -l < "$out/files" | tr -d ' ') files to count"
found "$(while read -r file; do cat "$file"; done < "$out/files" | awk '{ w += NF } END { print NR " lines, " w " words" }')"
"#,
    },
    Piece {
        name: "common-words",
        lane: Lane::A,
        priority: 70,
        expected: RunStatus::Succeeded,
        script: r#"
texts | while read -r file; do cat "$file"; done | LC_ALL=C tr -cs 'A-Za-z' '\n' | LC_ALL=C tr 'A-Z' 'a-z' > "$out/words"
LC_ALL=C sort "$out/words" | uniq -c | sort -rn | awk 'length($2) > 3' > "$out/counts"
found "most common: $(head -n 4 "$out/counts" | awk '{ printf "%s%s (%d)", sep, $2, $1; sep = ", " }')"
"#,
    },
    Piece {
        name: "largest-file",
        lane: Lane::A,
        priority: 50,
        expected: RunStatus::Succeeded,
        script: r#"
texts | while read -r file; do wc -c "$file"; done | sort -rn > "$out/sizes"
found "$(head -n 1 "$out/sizes" | awk '{ print $2 ", " $1 " bytes" }')"
"#,
    },
    Piece {
        name: "checksum",
        lane: Lane::B,
        priority: 80,
        expected: RunStatus::Succeeded,
        script: r#"
sha() { if command -v sha256sum > /dev/null; then sha256sum; else shasum -a 256; fi; }
seq 1 300000 > "$out/numbers"
echo "made $(wc -c < "$out/numbers" | tr -d ' ') bytes"
found "sha256 $(sha < "$out/numbers" | cut -c 1-16)..."
"#,
    },
    Piece {
        name: "sort-numbers",
        lane: Lane::B,
        priority: 60,
        expected: RunStatus::Succeeded,
        script: r#"
awk 'BEGIN { x = 42; for (i = 0; i < 60000; i++) { x = (x * 16807) % 2147483647; print x } }' > "$out/shuffled"
echo "made 60000 numbers"
sort -n "$out/shuffled" > "$out/sorted"
sort -nc "$out/sorted"
found "sorted 60000 numbers, the middle one is $(sed -n 30000p "$out/sorted")"
"#,
    },
    Piece {
        name: "compress",
        lane: Lane::B,
        priority: 40,
        expected: RunStatus::Succeeded,
        script: r#"
seq 1 200000 > "$out/plain"
gzip -c "$out/plain" > "$out/packed.gz"
gzip -dc "$out/packed.gz" | cmp - "$out/plain"
found "$(wc -c < "$out/plain" | tr -d ' ') bytes became $(wc -c < "$out/packed.gz" | tr -d ' '), and came back the same"
"#,
    },
    Piece {
        name: "primes",
        lane: Lane::C,
        priority: 75,
        expected: RunStatus::Succeeded,
        script: r#"
count=0
for part in 1 2 3 4 5; do
  new=$(awk -v from=$(( (part - 1) * 10000 + 1 )) -v to=$(( part * 10000 )) 'BEGIN {
    for (n = from; n <= to; n++) { prime = n > 1; for (d = 2; d * d <= n && prime; d++) prime = n % d; if (prime) c++ }
    print c }')
  count=$(( count + new ))
  echo "$(( part * 20 )) %: $count primes"
done
found "$count primes below 50000"
"#,
    },
    Piece {
        name: "history",
        lane: Lane::C,
        priority: 55,
        expected: RunStatus::Succeeded,
        script: r#"
if command -v git > /dev/null && commits=$(git rev-list --count HEAD 2> /dev/null); then
  found "$commits commits, the last one: $(git log -1 --format=%s | cut -c 1-60)"
else
  found "no git history here"
fi
"#,
    },
    Piece {
        name: "contract",
        lane: Lane::C,
        priority: 35,
        expected: RunStatus::Succeeded,
        script: r#"
texts | grep '_service\.proto$' > "$out/services" || true
if [ -s "$out/services" ]; then
  while read -r file; do echo "$(grep -c '^ *rpc ' "$file") calls in ${file##*/}"; done < "$out/services" | tee "$out/calls"
  found "$(awk '{ n += $1 } END { print n " calls in " NR " services" }' "$out/calls")"
else
  found "$(texts | while read -r file; do cat "$file"; done | grep -c -- '--') lines about options"
fi
"#,
    },
    Piece {
        name: "price-check",
        lane: Lane::D,
        priority: 65,
        expected: RunStatus::Failed,
        script: r#"
printf 'item,price\nnut M6,0.04\nbolt M6,\nwasher,0.02\n' > "$out/prices.csv"
echo "checking $(awk 'END { print NR - 1 }' "$out/prices.csv") prices"
awk -F, 'NR > 1 && $2 == "" { print "prices.csv line " NR ": \"" $1 "\" has no price" > "/dev/stderr"; bad = 1 } END { exit bad * 3 }' \
  "$out/prices.csv"
"#,
    },
    Piece {
        name: "archive",
        lane: Lane::D,
        priority: 30,
        expected: RunStatus::Succeeded,
        script: r#"
texts > "$out/list"
tar cf "$out/texts.tar" -T "$out/list"
found "$(tar tf "$out/texts.tar" | wc -l | tr -d ' ') files in an archive of $(wc -c < "$out/texts.tar" | tr -d ' ') bytes"
"#,
    },
    ENDLESS,
];

/// A run without end. The demonstration cancels it while it runs.
pub(super) const ENDLESS: Piece = Piece {
    name: "endless",
    lane: Lane::D,
    priority: 85,
    expected: RunStatus::Cancelled,
    script: r#"
trap 'echo "stopped after $ticks ticks"; exit 1' TERM
ticks=0
while :; do ticks=$(( ticks + 1 )); echo "tick $ticks"; sleep 0.1; done
"#,
};

/// A report of all results. Its output becomes an artifact.
pub(super) const REPORT: Piece = Piece {
    name: "report",
    lane: Lane::A,
    priority: 0,
    expected: RunStatus::Succeeded,
    script: r#"
printf '# What the runs found\n\n'
for file in "$out"/*.found; do
  name=${file##*/}
  printf -- '- **%s**: %s\n' "${name%.found}" "$(cat "$file")"
done
"#,
};

/// Does nothing. The demonstration measures the time to its start.
pub(super) const PROBE: Piece =
    Piece { name: "probe", lane: Lane::A, priority: 0, expected: RunStatus::Succeeded, script: ":" };

/// The name of the run that calls the server itself.
pub(super) const HEALTH: &str = "health";

/// A run of another kind: it asks the server for its health.
pub(super) fn health(session_id: &str, address: &ServerAddress) -> RunSpec {
    RunSpec {
        session_id: session_id.to_owned(),
        lane: Lane::C.into(),
        kind: "http".to_owned(),
        params: Some(Params::ParamsJson(json!({ "url": format!("{address}/healthz") }).to_string())),
        labels: BTreeMap::from([(NAME_LABEL.to_owned(), HEALTH.to_owned())]),
        timeout: Some(prost_types::Duration { seconds: TIMEOUT_SECONDS, nanos: 0 }),
        ..RunSpec::default()
    }
}

impl Piece {
    /// The run of this piece. It reads files below `src` and writes into `out`.
    pub(super) fn spec(&self, session_id: &str, src: &Path, out: &Path) -> RunSpec {
        let script = format!("{PROLOGUE}{}", self.script);
        let argv = json!(["sh", "-c", script, self.name, src.to_string_lossy(), out.to_string_lossy()]);
        RunSpec {
            session_id: session_id.to_owned(),
            lane: self.lane.into(),
            priority: self.priority,
            kind: "shell".to_owned(),
            params: Some(Params::ParamsJson(json!({ "argv": argv }).to_string())),
            labels: BTreeMap::from([(NAME_LABEL.to_owned(), self.name.to_owned())]),
            timeout: Some(prost_types::Duration { seconds: TIMEOUT_SECONDS, nanos: 0 }),
            ..RunSpec::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Output};

    use super::*;

    fn perform(piece: &Piece, src: &Path, out: &Path) -> Output {
        let Some(Params::ParamsJson(params)) = piece.spec("s", src, out).params else { panic!("no params") };
        let params: serde_json::Value = serde_json::from_str(&params).unwrap();
        let argv: Vec<_> = params["argv"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
        Command::new(argv[0]).args(&argv[1..]).output().unwrap()
    }

    #[test]
    fn every_script_ends_as_expected_in_a_checkout_and_in_a_folder_of_texts() {
        let texts = tempfile::tempdir().unwrap();
        std::fs::write(texts.path().join("a file.txt"), "--some option\nthat does something with something\n").unwrap();
        for src in [Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap(), texts.path()] {
            let out = tempfile::tempdir().unwrap();
            for piece in PIECES.iter().chain([&REPORT, &PROBE]).filter(|piece| piece.name != ENDLESS.name) {
                let output = perform(piece, src, out.path());
                let said = format!("{}: {output:?}", piece.name);
                match piece.expected {
                    RunStatus::Failed => {
                        assert_eq!(output.status.code(), Some(3), "{said}");
                        assert_eq!(
                            String::from_utf8_lossy(&output.stderr),
                            "prices.csv line 3: \"bolt M6\" has no price\n"
                        );
                    }
                    _ => {
                        assert!(output.status.success(), "{said}");
                        assert!(output.stderr.is_empty(), "{said}");
                    }
                }
                if piece.name == REPORT.name {
                    let report = String::from_utf8(output.stdout).unwrap();
                    assert_eq!(report.lines().filter(|line| line.starts_with("- **")).count(), 10, "{report}");
                }
            }
        }
    }

    #[test]
    fn all_lanes_are_served_and_names_are_unique() {
        let lanes: std::collections::BTreeSet<_> = PIECES.iter().map(|piece| i32::from(piece.lane)).collect();
        let names: std::collections::BTreeSet<_> = PIECES.iter().map(|piece| piece.name).collect();
        assert_eq!((lanes.len(), names.len()), (4, PIECES.len()));
    }
}
