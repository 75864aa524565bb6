//! One session: its prepared statements, and the messages at which traps spring.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::super::filter::{Filter, Passed};
use super::super::orders::Cut;
use super::super::trap::{Trap, Traps};
use super::frames::{Frame, Frames, frame, text};

const SSL_REQUEST: &[u8] = &80_877_103_u32.to_be_bytes();
const GSS_REQUEST: &[u8] = &80_877_104_u32.to_be_bytes();
const CANCEL_REQUEST: &[u8] = &80_877_102_u32.to_be_bytes();

/// The stage of the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The client's next message has no tag.
    Startup,
    /// The client has asked for encryption, and the server answers with one byte.
    Asked,
    /// Messages with tags.
    Open,
    /// The messages can not be read.
    Opaque,
}

/// The kind of a statement, for traps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Commit,
    /// Reads rows.
    Reads,
    /// Writes rows, and outside of a transaction also commits them.
    Writes,
    Other,
}

/// Follows one session.
#[derive(Debug)]
pub(in crate::proxy) struct Session {
    traps: Arc<Traps>,
    stage: Stage,
    client: Frames,
    server: Frames,
    /// The prepared statements of the client, by name.
    statements: HashMap<Vec<u8>, Kind>,
    portals: HashMap<Vec<u8>, Kind>,
    /// Whether messages have come since the last Sync.
    in_group: bool,
    /// The group up to the next Sync was replaced, and the rest of it is dropped.
    is_replaced: bool,
    /// The server has said that a transaction is open.
    in_transaction: bool,
    /// A statement since the last ReadyForQuery commits by itself.
    commits_itself: bool,
    is_cut: bool,
}

impl Session {
    pub(in crate::proxy) fn new(traps: Arc<Traps>) -> Self {
        Self {
            traps,
            stage: Stage::Startup,
            client: Frames::default(),
            server: Frames::default(),
            statements: HashMap::new(),
            portals: HashMap::new(),
            in_group: false,
            is_replaced: false,
            in_transaction: false,
            commits_itself: false,
            is_cut: false,
        }
    }

    fn startup(&mut self, frame: &Frame, out: &mut Passed) {
        let code = frame.body().get(..4).unwrap_or_default();
        if code == SSL_REQUEST || code == GSS_REQUEST {
            self.stage = Stage::Asked;
        } else if code == CANCEL_REQUEST {
            self.stage = Stage::Opaque;
        } else {
            self.stage = Stage::Open;
            let refused = self.traps.spring(|trap| match trap {
                Trap::FailStartup { sqlstate, message } => Some(error("FATAL", sqlstate, message)),
                _ => None,
            });
            if let Some(error) = refused {
                out.to_client.extend_from_slice(&error);
                return self.cut(Cut::Fin, out);
            }
        }
        out.to_server.extend_from_slice(&frame.bytes);
    }

    fn asked(&mut self, frame: Frame, out: &mut Passed) {
        if self.is_replaced {
            self.is_replaced = frame.tag != b'S';
            return;
        }
        let kind = self.learn(&frame);
        let executes = matches!(frame.tag, b'Q' | b'E');
        let commits_itself = executes && kind == Kind::Writes && !self.in_transaction;
        if (commits_itself || executes && kind == Kind::Commit)
            && let Some(cut) = self.before_commit()
        {
            return self.cut(cut, out);
        }
        self.commits_itself |= commits_itself;
        let begins = frame.tag == b'Q' || (!self.in_group && matches!(frame.tag, b'P' | b'B'));
        if begins
            && matches!(kind, Kind::Reads | Kind::Writes)
            && let Some(failing) = self.failing()
        {
            // The server itself fails, so that it and the client agree on the state of the transaction. It would also
            // skip the client's messages up to the next Sync.
            out.to_server.extend_from_slice(&failing);
            self.is_replaced = frame.tag != b'Q';
            return self.forget(&frame);
        }
        self.in_group = !matches!(frame.tag, b'Q' | b'S');
        out.to_server.extend_from_slice(&frame.bytes);
    }

    /// Stores the kind of the statement that the message prepares.
    fn learn(&mut self, frame: &Frame) -> Kind {
        let (name, rest) = text(frame.body());
        match frame.tag {
            b'Q' => kind(name),
            b'P' => {
                let kind = kind(text(rest).0);
                self.statements.insert(name.to_vec(), kind);
                kind
            }
            b'B' => {
                let kind = self.statements.get(text(rest).0).copied().unwrap_or(Kind::Other);
                self.portals.insert(name.to_vec(), kind);
                kind
            }
            b'E' => self.portals.get(name).copied().unwrap_or(Kind::Other),
            _ => Kind::Other,
        }
    }

    /// The server never saw this message.
    fn forget(&mut self, frame: &Frame) {
        if frame.tag == b'P' {
            self.statements.remove(text(frame.body()).0);
        }
    }

    fn before_commit(&self) -> Option<Cut> {
        self.traps.spring(|trap| match trap {
            Trap::CutBeforeCommit(cut) => Some(*cut),
            _ => None,
        })
    }

    fn after_commit(&self) -> Option<Cut> {
        self.traps.spring(|trap| match trap {
            Trap::CutAfterCommit(cut) => Some(*cut),
            _ => None,
        })
    }

    /// A statement that fails, if a trap demands it.
    fn failing(&self) -> Option<Vec<u8>> {
        self.traps.spring(|trap| match trap {
            Trap::FailStatement { sqlstate, message } => {
                let fail = format!("DO $$ BEGIN RAISE EXCEPTION '{message}' USING ERRCODE = '{sqlstate}'; END $$\0");
                Some(frame(b'Q', fail.as_bytes()))
            }
            _ => None,
        })
    }

    fn cut(&mut self, cut: Cut, out: &mut Passed) {
        self.is_cut = true;
        out.cut = Some((cut, Duration::ZERO));
    }
}

impl Filter for Session {
    fn client_sent(&mut self, bytes: &[u8], out: &mut Passed) {
        self.client.push(bytes);
        while !self.is_cut {
            match self.stage {
                Stage::Startup => {
                    let Some(frame) = self.client.next(true) else { return };
                    self.startup(&frame, out);
                }
                Stage::Open => {
                    let Some(frame) = self.client.next(false) else { return };
                    self.asked(frame, out);
                }
                // A client waits for the answer before it sends more.
                Stage::Asked => return,
                Stage::Opaque => return out.to_server.append(&mut self.client.take()),
            }
        }
    }

    fn server_sent(&mut self, bytes: &[u8], out: &mut Passed) {
        self.server.push(bytes);
        while !self.is_cut {
            match self.stage {
                Stage::Asked => {
                    let Some(answer) = self.server.byte() else { return };
                    self.stage = if answer == b'N' { Stage::Startup } else { Stage::Opaque };
                    out.to_client.push(answer);
                }
                Stage::Startup | Stage::Open => {
                    let Some(frame) = self.server.next(false) else { return };
                    if frame.tag == b'E' {
                        self.commits_itself = false;
                    }
                    let is_ready = frame.tag == b'Z';
                    if is_ready {
                        self.in_transaction = frame.body() != b"I";
                    }
                    let has_committed = frame.tag == b'C' && text(frame.body()).0 == b"COMMIT"
                        || is_ready && std::mem::take(&mut self.commits_itself) && !self.in_transaction;
                    if has_committed && let Some(cut) = self.after_commit() {
                        return self.cut(cut, out);
                    }
                    out.to_client.extend_from_slice(&frame.bytes);
                }
                Stage::Opaque => return out.to_client.append(&mut self.server.take()),
            }
        }
    }
}

fn kind(sql: &[u8]) -> Kind {
    let text = String::from_utf8_lossy(sql).to_ascii_uppercase();
    let text: String = text.lines().filter(|line| !line.trim_start().starts_with("--")).collect::<Vec<_>>().join("\n");
    match text.split_whitespace().next().unwrap_or_default().trim_end_matches(';') {
        "COMMIT" | "END" => Kind::Commit,
        "INSERT" | "UPDATE" | "DELETE" => Kind::Writes,
        "WITH" if ["INSERT INTO ", "UPDATE OPS.", "DELETE FROM "].iter().any(|writes| text.contains(writes)) => {
            Kind::Writes
        }
        "SELECT" | "WITH" => Kind::Reads,
        _ => Kind::Other,
    }
}

fn error(severity: &str, sqlstate: &str, message: &str) -> Vec<u8> {
    frame(b'E', format!("S{severity}\0V{severity}\0C{sqlstate}\0M{message}\0\0").as_bytes())
}
