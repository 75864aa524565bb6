//! Conversions of sessions.

use std::time::Duration;

use proto::v1;
use uuid::Uuid;

use crate::edge::convert::cancel::cancel;
use crate::edge::convert::time::timestamp_out;
use crate::edge::convert::{Fields, Path, ToProto};
use engine::domain::json::Shape;
use engine::domain::page::PageRequest;
use engine::domain::session::{NewSession, SessionPatch, SessionStatus};
use engine::domain::text::excerpt;
use engine::domain::violation::Violations;
use engine::domain::{Limits, Session};

/// CreateSession.
pub fn create_session(request: v1::CreateSessionRequest, limits: &Limits) -> Result<NewSession, Violations> {
    let mut fields = Fields::new(limits);
    let context = match request.context {
        None => "{}".to_owned(),
        Some(v1::create_session_request::Context::ContextJson(text)) => context_json(&mut fields, text),
        Some(v1::create_session_request::Context::ContextStruct(structure)) => {
            fields.structure(Path::Root.field("context_struct"), structure, limits.params)
        }
    };
    let session = NewSession {
        name: fields.name(Path::Root.field("name"), request.name),
        description: fields.prose(Path::Root.field("description"), request.description, limits.description),
        triggered_by: fields.line(Path::Root.field("triggered_by"), request.triggered_by, 0, limits.name),
        context,
        request_id: fields.request_id(Path::Root.field("request_id"), request.request_id),
    };
    fields.finish(session)
}

/// UpdateSession. A field that the mask does not name is not checked.
pub fn update_session(request: v1::UpdateSessionRequest, limits: &Limits) -> Result<(Uuid, SessionPatch), Violations> {
    let mut fields = Fields::new(limits);
    let id = fields.id(Path::Root.field("session_id"), &request.session_id);
    let mut patch = SessionPatch::default();
    let (mut name, mut description, mut context) =
        (Some(request.name), Some(request.description), Some(request.context));
    let mask = Path::Root.field("update_mask");
    let paths = request.update_mask.unwrap_or_default().paths;
    if paths.is_empty() {
        fields.bad(mask, "expected at least one of name, description, context, got none");
    }
    for (index, path) in paths.iter().enumerate() {
        match path.as_str() {
            "name" => patch.name = name.take().map(|name| fields.name(Path::Root.field("name"), name)).or(patch.name),
            "description" => {
                let text = description.take();
                let text = text.map(|text| fields.prose(Path::Root.field("description"), text, limits.description));
                patch.description = text.or(patch.description);
            }
            "context" => {
                let text = context.take().map(|context| match context {
                    None => "{}".to_owned(),
                    Some(v1::update_session_request::Context::ContextJson(text)) => context_json(&mut fields, text),
                    Some(v1::update_session_request::Context::ContextStruct(structure)) => {
                        fields.structure(Path::Root.field("context_struct"), structure, limits.params)
                    }
                });
                patch.context = text.or(patch.context);
            }
            other => {
                let why = format!("expected name, description or context, got {}", excerpt(other));
                fields.bad(mask.field("paths").index(index), why);
            }
        }
    }
    fields.finish((id, patch))
}

/// ListSessions: the statuses, and the page.
pub fn list_sessions(
    request: v1::ListSessionsRequest,
    limits: &Limits,
) -> Result<(Vec<SessionStatus>, PageRequest), Violations> {
    let mut fields = Fields::new(limits);
    let path = Path::Root.field("statuses");
    let statuses = request
        .statuses
        .iter()
        .enumerate()
        .map(|(index, status)| session_status(&mut fields, path.index(index), *status))
        .collect();
    let page = fields.page(Path::Root, request.page_size, request.page_token);
    fields.finish((statuses, page))
}

/// CancelSession: the session, the reason and the grace period.
pub fn cancel_session(
    request: v1::CancelSessionRequest,
    limits: &Limits,
) -> Result<(Uuid, String, Duration), Violations> {
    let mut fields = Fields::new(limits);
    let id = fields.id(Path::Root.field("session_id"), &request.session_id);
    let (reason, grace) = cancel(&mut fields, request.reason, request.grace);
    fields.finish((id, reason, grace))
}

fn context_json(fields: &mut Fields<'_>, text: String) -> String {
    let max = fields.limits.params;
    fields.json(Path::Root.field("context_json"), text, Shape::Object, max, "{}")
}

fn session_status(fields: &mut Fields<'_>, path: Path<'_>, value: i32) -> SessionStatus {
    match v1::SessionStatus::try_from(value) {
        Ok(v1::SessionStatus::Active) => return SessionStatus::Active,
        Ok(v1::SessionStatus::Completed) => return SessionStatus::Completed,
        Ok(v1::SessionStatus::Cancelled) => return SessionStatus::Cancelled,
        Ok(v1::SessionStatus::Unspecified) => fields.bad(path, "expected a status, got SESSION_STATUS_UNSPECIFIED"),
        Err(_) => fields.bad(path, format!("expected a status, got the unknown number {value}")),
    }
    SessionStatus::Active
}

impl ToProto for SessionStatus {
    type Proto = v1::SessionStatus;

    fn to_proto(self) -> v1::SessionStatus {
        let status = self;
        match status {
            SessionStatus::Active => v1::SessionStatus::Active,
            SessionStatus::Completed => v1::SessionStatus::Completed,
            SessionStatus::Cancelled => v1::SessionStatus::Cancelled,
        }
    }
}

impl ToProto for Session {
    type Proto = v1::Session;

    fn to_proto(self) -> v1::Session {
        let session = self;
        v1::Session {
            id: session.id.to_string(),
            name: session.name,
            description: session.description,
            triggered_by: session.triggered_by,
            status: session.status.to_proto().into(),
            total_runs: session.total_runs,
            succeeded_runs: session.succeeded_runs,
            failed_runs: session.failed_runs,
            cancelled_runs: session.cancelled_runs,
            context_json: session.context,
            create_time: Some(timestamp_out(session.created_at)),
            update_time: Some(timestamp_out(session.updated_at)),
            close_time: session.closed_at.map(timestamp_out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(paths: &[&str]) -> Result<SessionPatch, Vec<String>> {
        let request = v1::UpdateSessionRequest {
            session_id: "01980000-0000-7000-8000-000000000001".into(),
            update_mask: Some(prost_types::FieldMask { paths: paths.iter().map(|path| path.to_string()).collect() }),
            name: "n".into(),
            ..Default::default()
        };
        update_session(request, &Limits::default())
            .map(|(_, patch)| patch)
            .map_err(|violations| violations.0.into_iter().map(|v| v.field).collect())
    }

    #[test]
    fn only_what_the_mask_names_is_changed() {
        let name = SessionPatch { name: Some("n".into()), ..Default::default() };
        assert_eq!(update(&["name"]), Ok(name.clone()));
        assert_eq!(update(&["name", "name"]), Ok(name));
        let rest = SessionPatch { name: None, description: Some(String::new()), context: Some("{}".into()) };
        assert_eq!(update(&["description", "context"]), Ok(rest));
    }

    #[test]
    fn a_mask_names_known_fields() {
        assert_eq!(update(&[]), Err(vec!["update_mask".into()]));
        assert_eq!(update(&["name", "status"]), Err(vec!["update_mask.paths[1]".into()]));
    }
}
